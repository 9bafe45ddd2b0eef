"""A control socket without a container: it starts commands on this machine, with what it got.

Enough of io.pyinit.Control to try the clients against; a test may put its own function in
`handlers` to answer a method as an init should not.
"""

from __future__ import annotations

import contextlib
import os
import queue
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
from pyinit.varlink import lean_json, scm, stream
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
            "ExecStream": self.exec_stream,
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
            try:
                conversation.reply(answer, continues=True, fds=fds)
            except Gone:  # its client was quicker
                running.signal(signal.SIGKILL)
                raise
            self._watch(conversation, running)
        else:
            self._watch(conversation, running)
        for fd in fds:
            os.close(fd)

    def exec_stream(self, conversation: Conversation, call: Call) -> None:
        """The command over one byte stream: threads that copy into and out of frames."""
        if call.parameters["command"]["argv"][0] == "no-such-command":
            conversation.error(
                "CommandNotFound", {"command": "no-such-command", "reason": "not found"}
            )
            return
        names = ["stdout", "stderr", *(["stdin"] if call.parameters.get("stdin") else [])]
        pipes = {name: os.pipe() for name in names}
        sides = {name: pair if name != "stdin" else pair[::-1] for name, pair in pipes.items()}
        call.fds = tuple(theirs for _, theirs in sides.values())
        call.parameters |= {name: index for index, name in enumerate(sides)}
        process, master = start(call)
        close_fds(call)
        running = Exec(f"e{len(self.execs) + 1}", process, call)
        self.execs[running.id] = running
        conversation.reply({"id": running.id, "pid": process.pid})
        ours = {name: mine for name, (mine, _) in sides.items()}
        if master >= 0:
            for descriptor in ours.values():
                os.close(descriptor)
            ours = {"stdout": master, "stdin": os.dup(master)}
        StreamRelay(conversation, running, ours).run()
        raise Gone

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


class StreamRelay:
    """The server's side of an exec over one byte stream."""

    def __init__(self, conversation: Conversation, running: Exec, ours: dict[str, int]) -> None:
        self.conversation = conversation
        self.running = running
        self.ours = ours
        self.frames = stream.ServerStream()
        self.sending = threading.Lock()
        self.input: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def run(self) -> None:
        threading.Thread(target=self._read_client, daemon=True).start()
        threading.Thread(target=self._write_input, daemon=True).start()
        kinds = [("stdout", stream.STDOUT), ("stderr", stream.STDERR)]
        readers = [
            threading.Thread(target=self._read_output, args=[self.ours[name], kind], daemon=True)
            for name, kind in kinds
            if name in self.ours
        ]
        for reader in readers:
            reader.start()
        self.running.ended.wait()
        for reader in readers:
            reader.join(1)
        end = {"status": self.running.status(), "timed_out": self.running.timed_out}
        self._send(stream.encode(stream.EXIT, lean_json.dumps(end)))

    def _send(self, data: bytes) -> None:
        with self.sending, contextlib.suppress(Gone):  # _read_client ends the command then
            self.conversation.send(data)

    def _read_output(self, descriptor: int, kind: int) -> None:
        data = b"x"
        while data:
            try:
                data = os.read(descriptor, 1 << 16)
            except OSError:
                data = b""
            self._send(stream.encode(kind, data))
        os.close(descriptor)

    def _read_client(self) -> None:
        with contextlib.suppress(OSError):
            data = self.conversation.server.take_rest() or self.conversation.socket.recv(1 << 16)
            while data:
                for kind, payload in self.frames.feed(data):
                    self._take(kind, payload)
                data = self.conversation.socket.recv(1 << 16)
        self.input.put(b"")
        if not self.running.detached:
            self.running.signal(signal.SIGKILL)

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == stream.SIGNAL:
            self.running.signal(parse_signal(stream.decode_signal(payload)))
        elif kind == stream.RESIZE:
            termios.tcsetwinsize(self.ours["stdin"], stream.decode_size(payload))
        else:
            self.input.put(payload)

    def _write_input(self) -> None:
        """A thread of its own, so that a command that reads nothing holds up no signal."""
        while payload := self.input.get():
            with contextlib.suppress(BrokenPipeError):
                os.write(self.ours["stdin"], payload)
            self._send(self.frames.grant(len(payload)))
        if "stdin" in self.ours and os.isatty(self.ours["stdin"]):
            os.write(self.ours["stdin"], b"\x04")
        elif "stdin" in self.ours:
            os.close(self.ours["stdin"])


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
