from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyinit.errors import ProtocolError
from pyinit.varlink import scm
from pyinit.varlink.framing import Frame, Framer

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Pair]:
    one, two = socket.socketpair()
    with one, two:
        yield one, two


@pytest.fixture
def fds() -> Iterator[list[int]]:
    files = [open(os.devnull) for _ in range(3)]  # noqa: SIM115
    yield [file.fileno() for file in files]
    for file in files:
        file.close()


def opened() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_descriptors_arrive_and_are_close_on_exec(ends: Pair, fds: list[int]) -> None:
    scm.send(ends[0], b"hello\0", fds)
    data, got = scm.recv(ends[1], 100)
    assert data == b"hello\0"
    assert len(got) == 3
    for fd in got:
        assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        assert os.fstat(fd).st_rdev == os.stat(os.devnull).st_rdev
    scm.close_all(got)


def test_without_descriptors_and_at_the_end(ends: Pair) -> None:
    scm.send(ends[0], b"hello\0")
    assert scm.recv(ends[1], 100) == (b"hello\0", [])
    ends[0].close()
    assert scm.recv(ends[1], 100) == (b"", [])
    with pytest.raises(BrokenPipeError):
        scm.send(ends[1], b"x")


def test_more_descriptors_than_room_are_refused_and_none_is_kept(
    ends: Pair, fds: list[int]
) -> None:
    before = opened()
    scm.send(ends[0], b"x", fds)
    with pytest.raises(ProtocolError, match="lost on the way"):
        scm.recv(ends[1], 100, max_fds=1)
    assert opened() == before


class Trickle:
    """A sender that takes three bytes at a time."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, int]] = []

    def sendmsg(self, buffers: list[bytes], ancillary: scm.Ancillary, flags: int, /) -> int:
        self.sent.append((bytes(buffers[0][:3]), len(ancillary)))
        return len(self.sent[-1][0])

    def send(self, data: memoryview, flags: int, /) -> int:
        self.sent.append((bytes(data[:3]), 0))
        return len(self.sent[-1][0])


def test_descriptors_go_once_however_often_is_sent() -> None:
    sender = Trickle()
    scm.send(sender, b"abcdefg\0", [1])
    assert sender.sent == [(b"abc", 1), (b"def", 0), (b"g\0", 0)]


def test_other_ancillary_data_is_passed_over() -> None:
    other = (socket.SOL_SOCKET, 99, b"\0" * 12)
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, (7).to_bytes(4, "little") + b"\0\0")
    if __import__("sys").byteorder == "little":
        assert scm.unpack((b"x", [other, rights], 0, None)) == (b"x", [7])


def test_closing_goes_on_after_an_error() -> None:
    one = os.dup(2)
    two = os.dup(2)
    os.close(one)
    scm.close_all([one, two])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(two)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.lists(st.tuples(st.integers(1, 70000), st.integers(0, 3)), max_size=5),
    st.sampled_from([1000, 4096, 65536, 1 << 20]),
)
def test_the_kernel_keeps_descriptors_with_the_message_they_were_sent_with(
    fds: list[int], messages: list[tuple[int, int]], size: int
) -> None:
    """Whatever the sizes: each message is read before one with descriptors goes out."""
    one, two = socket.socketpair()
    one.setblocking(False)
    with one, two:
        framer = Framer()
        for length, count in messages:
            wanted = b"x" * length
            left = memoryview(wanted + b"\0")
            ancillary = scm.pack(fds[:count])
            frames: list[Frame] = []
            while not frames:
                if left:
                    sent = one.sendmsg([left], ancillary, scm.SEND_FLAGS)
                    left, ancillary = left[sent:], []
                frames = framer.feed(*scm.recv(two, size))
            assert [(frame.data, len(frame.fds)) for frame in frames] == [(wanted, count)]
            scm.close_all(frames[0].fds)
