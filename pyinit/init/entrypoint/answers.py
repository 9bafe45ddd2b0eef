"""What pyinit prints instead of running: help, version, licence, and the check of a file."""

from __future__ import annotations

import os

from pyinit import __version__
from pyinit.errors import PyinitError
from pyinit.init.entrypoint.options import Options

HELP = """\
Usage: pyinit [OPTIONS] [--] COMMAND [ARGUMENT]...

PID 1 for a container: starts COMMAND, passes signals on, reaps, ends what is left, and
leaves with COMMAND's exit code. Options end at the first word that is none.

As tini:
  -s                        adopt orphans (done by itself where pyinit is not PID 1)
  -g                        send signals to the command's whole process group
  -p SIGNAL                 get SIGNAL when the parent dies
  -e CODE                   leave with 0 when the command's exit code is CODE; repeatable
  -w                        log a warning for each orphan that is reaped
  -l                        show the licence
As dumb-init:
  -c, --single-child        no session of its own; signals go to the command alone
  -r, --rewrite S:R         send signal R in place of S, nothing where R is 0; repeatable
Both:
  -v, --verbose             log more: -v info, -vv debug
  -V, --version             show the version
  -h, --help                show this
pyinit's own:
  --control PATH            listen on a control socket at PATH, for pyinit-ctl
  --keep-control-folder     leave PATH's folder mounted
  --name NAME               the container's name on the control socket (the host name)
  --grace SECONDS           between TERM and KILL when the command has ended (10)
  --log-level LEVEL         error, warning (the default), info or debug
  --log-format FORM         console, json, or auto: console on a terminal
  --pass-notify-socket      leave NOTIFY_SOCKET in the command's environment
  --services PATH           supervise the services of a TOML file, or of a folder of them
  --check PATH              check a file or folder of services, and leave

Environment: TINI_SUBREAPER, TINI_KILL_PROCESS_GROUP, TINI_VERBOSITY, DUMB_INIT_SETSID,
DUMB_INIT_DEBUG; LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES and NOTIFY_SOCKET as in systemd.
"""

LICENSE = """\
MIT License

Copyright (c) 2026 The pyinit authors

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


def answer(options: Options) -> int:
    """Print what was asked for. Returns the exit code."""
    match options.show:
        case "help":
            return _print(HELP)
        case "version":
            return _print(f"pyinit {__version__}\n")
        case "license":
            return _print(LICENSE)
    return _check(options.check)


def _check(path: str) -> int:
    from pyinit.spec.services_file import load_services

    try:
        services = load_services(path)
    except PyinitError as error:
        os.write(2, f"{error}\n".encode(errors="backslashreplace"))
        return 1
    names = ", ".join(sorted(services)) or "none"
    return _print(f"{path}: no faults; services: {names}\n")


def _print(text: str) -> int:
    data = text.encode(errors="backslashreplace")
    while data:
        data = data[os.write(1, data) :]
    return 0
