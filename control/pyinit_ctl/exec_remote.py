"""`pyinit-ctl exec --host`: an exec over one byte stream, where no descriptor can be passed."""

from __future__ import annotations

import _signal
import os
import select

from pyinit.errors import ConnectionLost, ProtocolError, PyinitError, UsageError
from pyinit.varlink import lean_json, stream
from pyinit.varlink.stream import ClientStream
from pyinit_ctl import remote
from pyinit_ctl.exec_local import tell_held
from pyinit_ctl.exec_options import ExecOptions
from pyinit_ctl.exec_terminal import die_of, leave_line, terminal_parameters
from pyinit_ctl.failures import failure
from pyinit_ctl.forward import FORWARDED
from pyinit_ctl.printable import printable
from pyinit_ctl.relay import CHUNK
from pyinit_ctl.replies import TIMED_OUT, exit_status, text
from pyinit_ctl.stdio import print_line, say
from pyinit_ctl.terminal import Detached, Keyboard, RawTerminal, Signalled, size_of

TYPE_CHECKING = False

if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable
    from typing import Any


def run_remote(host: str, options: ExecOptions, command: dict[str, Any]) -> int:
    """Run `command` in a container of another machine. Returns the exit status."""
    parameters: dict[str, Any] = {"command": command}
    terminal = options.flag("tty")
    if terminal:
        parameters["terminal"] = terminal_parameters()
    with remote.connect(host, options.target) as link:
        if options.flag("detach"):
            answer = link.call("Exec", {**parameters, "detach": True})
            print_line(printable(text(answer, "id")))
            return 0
        interactive = options.flag("interactive")
        link.send("ExecStream", {**parameters, "stdin": interactive}, upgrade=True)
        exec_id = text(link.receive().parameters, "id")
        keys = options.detach_keys() if terminal else b""
        keyboard = Keyboard(keys, is_raw=terminal)
        conversation = Conversation(*link.upgraded(), interactive, keyboard)
        if not terminal:
            return _with_streams(conversation)
        try:
            return _with_terminal(conversation, interactive)
        except Detached:
            return _detach(host, options.target, exec_id)


def _with_streams(conversation: Conversation) -> int:
    for number in FORWARDED:
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, conversation.signal)
    status = conversation.run()
    if conversation.outputs:
        tell_held()
    return status


def _with_terminal(conversation: Conversation, interactive: bool) -> int:
    try:
        with RemoteTerminal(0 if interactive else None, conversation.resize):
            return conversation.run()
    except Signalled as signalled:
        return die_of(signalled.number)


def _detach(host: str, target: str, exec_id: str) -> int:
    with remote.connect(host, target) as other:
        other.call("DetachExec", {"id": exec_id})
    leave_line()
    say(f"detached from {exec_id} on {host}; `pyinit-ctl attach` there comes back to it")
    return 0


class RemoteTerminal(RawTerminal):
    """Our terminal, where the command's is told of a new size by a frame."""

    __slots__ = ("_resize",)

    def __init__(self, descriptor: int | None, resize: Callable[[int, int], None]) -> None:
        super().__init__(descriptor, -1)
        self._resize = resize

    def resized(self, *_: object) -> None:
        self._resize(*size_of(0, 1, 2))


class Conversation:
    """The frames of one exec, joined to our stdin, stdout and stderr.

    No direction waits for another, save that what is behind a full stdout is behind it: there
    is one stream. What our stdout takes no more of is dropped, and the exec ended.
    """

    def __init__(
        self, connected: _socket.socket, rest: bytes, interactive: bool, keyboard: Keyboard
    ) -> None:
        self._socket = connected
        self._stream = ClientStream()
        self._frames = self._stream.feed(rest)
        self._outgoing = bytearray()
        self._incoming: dict[int, bytes] = {}
        # Those whose end has not come.
        self.outputs = {stream.STDOUT, stream.STDERR}
        self._reads = interactive
        self._keyboard = keyboard
        connected.setblocking(False)
        # A handler that adds to what goes out does not end a poll(2): this pipe does.
        self._woken, self._waking = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def signal(self, number: int, _frame: object) -> None:
        """A signal for the command; as a handler it runs between two steps of `run`."""
        self._outgoing += stream.encode(stream.SIGNAL, FORWARDED[number].encode())

    def resize(self, rows: int, columns: int) -> None:
        """Tell the command's terminal its size."""
        self._outgoing += stream.encode_size(rows, columns)

    def run(self) -> int:
        """Relay to the last frame. Returns the exit status; raises PyinitError, Detached."""
        _signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        try:
            while (status := self._take_frames()) is None:
                self._step(self._wait())
        finally:
            _signal.set_wakeup_fd(-1)
            os.close(self._woken)
            os.close(self._waking)
        return status

    def _take_frames(self) -> int | None:
        while self._frames and not self._incoming:
            status = self._take(*self._frames.pop(0))
            if status is not None:
                return status
        return None

    def _take(self, kind: int, payload: bytes) -> int | None:
        if kind in (stream.STDOUT, stream.STDERR):
            if payload:
                self._incoming[kind] = payload
            else:
                self.outputs.discard(kind)
        elif kind == stream.EXIT:
            return _status(payload)
        elif kind == stream.ERROR:
            raise _error(payload)
        return None  # credit was counted where it came in

    def _wait(self) -> dict[int, int]:
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        events = 0 if self._frames else select.POLLIN
        events |= select.POLLOUT if self._outgoing else 0
        if events:
            poll.register(self._socket.fileno(), events)
        if self._reads and self._stream.credit and len(self._outgoing) < CHUNK:
            poll.register(0, select.POLLIN)
        for descriptor in self._incoming:
            poll.register(descriptor, select.POLLOUT)
        return dict(poll.poll())

    def _step(self, ready: dict[int, int]) -> None:
        if self._woken in ready:
            os.read(self._woken, CHUNK)
        if 0 in ready:
            self._read_input()
        for descriptor in ready.keys() & self._incoming.keys():
            self._write_output(descriptor)
        if self._socket.fileno() in ready:
            self._exchange()

    def _read_input(self) -> None:
        try:
            data = self._keyboard.read(min(self._stream.credit, CHUNK))
        except Detached as detached:
            if detached.typed:
                self._outgoing += self._stream.stdin(detached.typed)
            self._send()
            raise
        if data is None:
            self._reads = False
            self._outgoing += self._stream.stdin(b"")
        elif data:
            self._outgoing += self._stream.stdin(data)

    def _write_output(self, descriptor: int) -> None:
        data = self._incoming.pop(descriptor)
        try:
            rest = data[os.write(descriptor, data[:4096]) :]
        except BlockingIOError:
            rest = data
        except OSError as error:
            raise UsageError(f"the output could not be written: {error.strerror}") from None
        if rest:
            self._incoming[descriptor] = rest

    def _exchange(self) -> None:
        self._send()
        if not self._frames:
            self._receive()

    def _send(self) -> None:
        try:
            if self._outgoing:
                # A copy: a handler may run, and add to it, while it is being sent.
                del self._outgoing[: self._socket.send(bytes(self._outgoing))]
        except BlockingIOError:
            pass
        except OSError:
            # Nobody takes it. What was sent to us before that is to be read: maybe the end.
            self._outgoing.clear()
            self._reads = False

    def _receive(self) -> None:
        try:
            data = self._socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            raise ConnectionLost(f"the connection broke: {error.strerror}") from None
        if not data:
            self._stream.end()
        self._frames += self._stream.feed(data)


def _status(payload: bytes) -> int:
    value = lean_json.loads(payload)
    if not isinstance(value, dict):
        raise ProtocolError("the container's answer has no valid exit status")
    return TIMED_OUT if value.get("timed_out") is True else exit_status(value.get("status"))


def _error(payload: bytes) -> PyinitError:
    value = lean_json.loads(payload)
    if not isinstance(value, dict) or not isinstance(value.get("error"), str):
        return ProtocolError("the container sent an error without a name")
    parameters = value.get("parameters")
    return failure(value["error"], parameters if isinstance(parameters, dict) else {})
