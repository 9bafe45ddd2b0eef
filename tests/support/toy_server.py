"""A control socket without a container: it starts commands on this machine, with what it got.

Enough of io.pyinit.Control to try the clients against; a test may put its own function in
`handlers` to answer a method as an init should not.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from pyinit.errors import ProtocolError
from pyinit.spec.signals import parse_signal
from pyinit.varlink import lean_json, scm
from pyinit.varlink.connection import Server
from pyinit.varlink.envelope import Call

INTERFACE = "io.pyinit.Control"


class Gone(Exception):
    """The client closed the connection."""


class Conversation:
    """One connection, in a thread of its own."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.server = Server(lean_json)

    def next_call(self) -> Call:
        while (call := self.server.next_call()) is None:
            self.read()
        return call

    def read(self) -> None:
        try:
            data, fds = scm.recv(self.socket, 1 << 16)
        except OSError:
            raise Gone from None
        if not data:
            raise Gone
        self.server.feed(data, fds)

    def reply(self, parameters: Any = None, *, continues: bool = False, fds: Any = ()) -> None:
        self.send(self.server.reply(parameters, continues=continues, fds=len(fds)), fds)

    def error(self, name: str, parameters: Any = None) -> None:
        self.send(self.server.error(f"{INTERFACE}.{name}", parameters))

    def send(self, data: bytes, fds: Any = ()) -> None:
        try:
            scm.send(self.socket, data, fds)
        except OSError:
            raise Gone from None


class Exec:
    """A command that runs or ran."""

    def __init__(self, exec_id: str, process: subprocess.Popen[bytes], call: Call) -> None:
        self.id = exec_id
        self.process = process
        self.call = call
        self.detached = bool(call.parameters.get("detach"))
        self.timed_out = False
        self.ended = threading.Event()
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        timeout = self.call.parameters["command"].get("timeout")
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.timed_out = True
            self.signal(signal.SIGKILL)
            self.process.wait()
        self.ended.set()

    def signal(self, number: int) -> None:
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # reaped this very moment
                os.killpg(self.process.pid, number)

    def status(self) -> dict[str, int]:
        code = self.process.returncode
        return {"code": code} if code >= 0 else {"signal": -code}

    def info(self) -> dict[str, Any]:
        running = not self.ended.is_set()
        return {
            "id": self.id,
            "argv": self.call.parameters["command"]["argv"],
            "user": "root",
            "peer_uid": os.getuid(),
            "pid": self.process.pid,
            "terminal": "terminal" in self.call.parameters,
            "detached": self.detached,
            "state": "running" if running else "exited",
            "started": time.time(),
            "ended": None if running else time.time(),
            "status": None if running else self.status(),
            "timed_out": self.timed_out,
        }


class ToyServer:
    """Listens in a folder as a container's init would; use it in a `with`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "control.sock"
        self.execs: dict[str, Exec] = {}
        self.calls: list[Call] = []
        self.signalled: list[tuple[str, str]] = []
        self.handlers: dict[str, Callable[[Conversation, Call], None]] = {
            "Exec": self.exec,
            "SignalExec": self.signal_exec,
            "WaitExec": self.wait_exec,
            "ListExecs": self.list_execs,
            "DetachExec": self.detach_exec,
        }
        self._listener = socket.socket(socket.AF_UNIX)
        self.conversations: list[Conversation] = []

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        here = os.open(self.folder, os.O_PATH)
        self._listener.bind(f"/proc/self/fd/{here}/control.sock")  # however long the path is
        os.close(here)
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything, as the death of a container would; the socket's file stays."""
        with contextlib.suppress(OSError):  # done before
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for conversation in self.conversations:
            hang_up(conversation)
        for running in self.execs.values():
            running.signal(signal.SIGKILL)

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return
            conversation = Conversation(connected)
            self.conversations.append(conversation)
            threading.Thread(target=self._serve, args=[conversation], daemon=True).start()

    def _serve(self, conversation: Conversation) -> None:
        try:
            while True:
                call = conversation.next_call()
                self.calls.append(call)
                self._answer(conversation, call)
        except (Gone, ProtocolError):
            pass
        finally:
            for fd in conversation.server.take_fds():
                os.close(fd)
            conversation.socket.close()

    def _answer(self, conversation: Conversation, call: Call) -> None:
        handler = self.handlers.get(call.method.rpartition(".")[2])
        if handler is None:
            conversation.send(
                conversation.server.error(
                    "org.varlink.service.MethodNotFound", {"method": call.method}
                )
            )
            return
        try:
            handler(conversation, call)
        finally:
            close_fds(call)

    def exec(self, conversation: Conversation, call: Call) -> None:
        master = -1
        try:
            process, master = start(call)
        except FileNotFoundError:
            conversation.error(
                "CommandNotFound",
                {"command": call.parameters["command"]["argv"][0], "reason": "not found"},
            )
            return
        except PermissionError as error:
            conversation.error(
                "CommandNotExecutable",
                {
                    "command": call.parameters["command"]["argv"][0],
                    "reason": error.strerror,
                },
            )
            return
        finally:
            close_fds(call)
        exec_id = call.parameters.get("id") or f"e{len(self.execs) + 1}"
        self.execs[exec_id] = running = Exec(exec_id, process, call)
        answer: dict[str, Any] = {"event": "started", "id": exec_id, "pid": process.pid}
        fds = [master] if master >= 0 else []
        if fds:
            answer["terminal"] = 0
        if running.detached:
            conversation.reply(answer)
        elif call.more:
            conversation.reply(answer, continues=True, fds=fds)
            self._watch(conversation, running)
        else:
            self._watch(conversation, running)
        for fd in fds:
            os.close(fd)

    def _watch(self, conversation: Conversation, running: Exec) -> None:
        """Answer when it has ended; end it when the client goes away."""
        while not running.ended.is_set():
            if select.select([conversation.socket], [], [], 0.005)[0]:
                if not running.detached:
                    running.signal(signal.SIGHUP)
                    running.signal(signal.SIGKILL)
                raise Gone
        conversation.reply(
            {
                "event": "exited",
                "id": running.id,
                "pid": running.process.pid,
                "status": running.status(),
                "timed_out": running.timed_out,
            }
        )

    def signal_exec(self, conversation: Conversation, call: Call) -> None:
        self.signalled.append((call.parameters["id"], call.parameters["signal"]))
        self.execs[call.parameters["id"]].signal(parse_signal(call.parameters["signal"]))
        conversation.reply()

    def wait_exec(self, conversation: Conversation, call: Call) -> None:
        running = self.execs.get(call.parameters["id"])
        if running is None:
            conversation.error("NotFound", {"kind": "exec", "name": call.parameters["id"]})
            return
        running.ended.wait()
        conversation.reply({"status": running.status(), "timed_out": running.timed_out})

    def list_execs(self, conversation: Conversation, call: Call) -> None:
        conversation.reply({"execs": [running.info() for running in self.execs.values()]})

    def detach_exec(self, conversation: Conversation, call: Call) -> None:
        self.execs[call.parameters["id"]].detached = True
        conversation.reply()


def close_fds(call: Call) -> None:
    """Let go of the descriptors of a call, once."""
    scm.close_all(call.fds)
    call.fds = ()


def hang_up(conversation: Conversation) -> None:
    """Cut a connection, as the death of an init would."""
    with contextlib.suppress(OSError):
        conversation.socket.shutdown(socket.SHUT_RDWR)


def start(call: Call) -> tuple[subprocess.Popen[bytes], int]:
    """The command of an Exec call, and the master of its terminal, or -1."""
    command = call.parameters["command"]
    environment = {**os.environ, **(command.get("environment") or {})}
    size = call.parameters.get("terminal")
    master = slave = -1
    streams: dict[str, int] = {}
    if size is not None:
        master, slave = os.openpty()
        termios.tcsetwinsize(slave, (size["rows"], size["columns"]))
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), slave)
        environment["TERM"] = size.get("term") or "dumb"
    for name in ("stdin", "stdout", "stderr"):
        index = call.parameters.get(name)
        streams.setdefault(name, subprocess.DEVNULL if index is None else call.fds[index])
    argv = command["argv"]
    if size is not None:
        argv = ["setsid", "--ctty", "--wait", *argv]  # a shell as leader would be simpler to kill
    try:
        process = subprocess.Popen(
            argv,
            env=environment,
            cwd=command.get("workdir"),
            start_new_session=True,
            **streams,  # type: ignore[call-overload]
        )
    except OSError:
        if master >= 0:
            os.close(master)
        raise
    finally:
        if slave >= 0:
            os.close(slave)
    return process, master


def container_info(**changes: Any) -> dict[str, Any]:
    """A valid answer to Describe."""
    container = {
        "name": "web",
        "hostname": "web",
        "state": "running",
        "version": "0.1.0",
        "command": ["sleep", "inf"],
        "started": time.time() - 60,
        "uptime": 60.0,
        "main_pid": 2,
        "execs": 0,
        "services": 0,
        "cgroup": "none",
        "pid": 1,
    }
    return {"container": {**container, **changes}}


def usage(**changes: Any) -> dict[str, Any]:
    """A valid answer to Stats."""
    counters = ("rx_bytes", "rx_packets", "rx_errors", "rx_dropped")
    interface = {"name": "eth0"} | {
        name.replace("rx", way): number
        for way in ("rx", "tx")
        for number, name in enumerate(counters)
    }
    stats = {
        "time": time.time(),
        "uptime": 61.5,
        "source": "cgroup-v2",
        "cpu": 1.5,
        "cpu_user": 1.0,
        "cpu_system": 0.5,
        "cpu_throttled": None,
        "memory": 3 << 20,
        "memory_peak": 4 << 20,
        "memory_limit": None,
        "oom_kills": 0,
        "processes": 3,
        "processes_limit": 100,
        "io_read": None,
        "io_write": None,
        "interfaces": [interface],
    }
    return {"stats": {**stats, **changes}}


def process_info(**changes: Any) -> dict[str, Any]:
    """A valid member of an answer to ListProcesses."""
    process = {
        "pid": 1,
        "ppid": 0,
        "uid": 0,
        "user": "root",
        "state": "S",
        "threads": 1,
        "cpu": 0.25,
        "memory": 9 << 20,
        "started": time.time() - 60,
        "command": ["pyinit", "-x"],
        "name": "pyinit",
    }
    return {**process, **changes}


def answering(*answers: dict[str, Any]) -> Callable[[Conversation, Call], None]:
    """A handler with fixed answers, all but the last to continue."""

    def answer(conversation: Conversation, call: Call) -> None:
        for parameters in answers[:-1]:
            conversation.reply(parameters, continues=True)
        conversation.reply(answers[-1])

    return answer
