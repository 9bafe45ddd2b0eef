"""A person at a real terminal: a shell in tmux, its keys, and what is on the screen."""

from __future__ import annotations

import itertools
import os
import shlex
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.ctl import environment, words

PATIENCE_S = 20.0
# The status of the last command is in it.
PROMPT = "<$?> "

_numbers = itertools.count(1)


class Window:
    """A window of 80 by 24 with /bin/sh in it, which knows the command `ctl`."""

    def __init__(self, folder: Path, run_dir: Path) -> None:
        self._folder = folder
        self._server = f"pyinit-test-{os.getpid()}-{next(_numbers)}"
        self._pid_file = folder / "ctl.pid"
        self._write_command(run_dir)
        env = {**environment(run_dir), "PS1": PROMPT, "PATH": f"{folder}:{os.environ['PATH']}"}
        env |= {"TMUX_TMPDIR": str(folder), "SHELL": "/bin/sh", "LC_ALL": "C.UTF-8"}
        env.pop("ENV", None)
        self._env = env
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "/bin/sh")
        self.tty = self.tmux("display-message", "-p", "#{pane_tty}").strip()
        self.see("<0>")

    def _write_command(self, run_dir: Path) -> None:
        script = self._folder / "ctl"
        start = " ".join(shlex.quote(word) for word in words())
        script.write_text(f'#!/bin/sh\necho $$ >"{self._pid_file}"\nexec {start} "$@"\n')
        script.chmod(0o755)

    def tmux(self, *arguments: str) -> str:
        """A command of tmux, which must succeed."""
        done = subprocess.run(
            ["tmux", "-L", self._server, *arguments],
            env=self._env,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def type(self, line: str) -> None:
        """A line of text, and Enter."""
        self.tmux("send-keys", "-l", line)
        self.tmux("send-keys", "Enter")

    def press(self, *keys: str) -> None:
        """Keys by tmux's names: C-c, Escape, q."""
        self.tmux("send-keys", *keys)

    def screen(self) -> list[str]:
        """The lines as they are now, without spaces at their ends."""
        return [line.rstrip() for line in self.tmux("capture-pane", "-p").split("\n")]

    def see(self, *texts: str) -> None:
        """Wait for a line that is, or begins with, one of these."""
        limit = time.monotonic() + PATIENCE_S
        screen = self.screen()
        while not any(line.startswith(texts) for line in screen):
            assert time.monotonic() < limit, (texts, screen)
            time.sleep(0.03)
            screen = self.screen()

    def see_all(self, lines: list[str]) -> None:
        """Wait for the screen to begin with exactly these lines."""
        limit = time.monotonic() + PATIENCE_S
        while (screen := self.screen())[: len(lines)] != lines:
            assert time.monotonic() < limit, (lines, screen)
            time.sleep(0.03)

    def resize(self, columns: int, rows: int) -> None:
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def attributes(self) -> list[Any]:
        """What termios(3) says of the terminal."""
        descriptor = os.open(self.tty, os.O_RDWR | os.O_NOCTTY)
        try:
            return termios.tcgetattr(descriptor)
        finally:
            os.close(descriptor)

    def client(self) -> int:
        """The pid of the last `ctl`."""
        return int(self._pid_file.read_text())

    def shut(self) -> None:
        """Close the window, as with its close button."""
        self.tmux("kill-server")


@contextmanager
def window(folder: Path, run_dir: Path) -> Iterator[Window]:
    """A window that is closed at the end."""
    opened = Window(folder, run_dir)
    try:
        yield opened
    finally:
        subprocess.run(
            ["tmux", "-L", opened._server, "kill-server"], env=opened._env, capture_output=True
        )
