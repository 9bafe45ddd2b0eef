from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import nullcontext

import pytest
import trio
from trio.testing import MockClock

from pyinit.errors import CommandNotFound
from pyinit.init.checks import CheckRecord, watch
from pyinit.init.life import State
from pyinit.init.probes import Unwell, parse_status, probe_http, probe_tcp
from pyinit.spec.service import Check, HttpCheck
from tests.support.services import FakeProcess, service, stage


class Answers:
    """A probe that gives one answer after another, the last one for ever."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.asked: list[float] = []

    async def __call__(self) -> None:
        await trio.lowlevel.checkpoint()
        self.asked.append(trio.current_time())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, TimeoutError):
            await trio.sleep_forever()
        if answer is not None:
            raise answer


async def news(check: Check, probe: Answers, seconds: float) -> list[tuple[float, bool | None]]:
    found: list[tuple[float, bool | None]] = []
    began = trio.current_time()

    def report(record: CheckRecord) -> None:
        found.append((trio.current_time() - began, record.healthy))

    with trio.move_on_after(seconds):
        await watch(CheckRecord("a", "c", check), probe, report)
    return found


BAD, GOOD, SLOW = Unwell("bad"), None, TimeoutError()


@pytest.mark.trio
async def test_health_changes_at_the_threshold_and_at_the_first_success(
    autojump_clock: MockClock,
) -> None:
    probe = Answers(BAD, GOOD, BAD, BAD, BAD, GOOD, GOOD)
    assert await news(Check(tcp="1", period=10, threshold=2), probe, 75) == [
        (40, False),
        (60, True),
    ]


@pytest.mark.trio
async def test_failures_at_the_beginning_do_not_count(autojump_clock: MockClock) -> None:
    check = Check(tcp="1", period=10, threshold=2, start_period=25)
    assert await news(check, Answers(BAD), 100) == [(40, False)]


@pytest.mark.trio
async def test_no_answer_is_a_failure(autojump_clock: MockClock) -> None:
    check = Check(tcp="1", period=10, timeout=3, threshold=1)
    assert await news(check, Answers(SLOW, OSError(24, "Too many open files")), 30) == [(13, False)]


@pytest.mark.trio
async def test_a_check_restarts_its_service(autojump_clock: MockClock) -> None:
    check = Check(exec=("test", "x"), period=5, timeout=2, threshold=2, action="restart")
    async with stage({"a": service(checks={"c": check})}) as s:
        s.processes.behave["check"] = lambda process: process.exit(1)
        await s.start()
        main = s.main("a")
        await trio.sleep(10.4)
        assert main.status is not None
        assert s.state("a") is State.BACKOFF
        unhealthy = ("unhealthy", "a", {"check": "c", "reason": "exited with 1"})
        assert unhealthy in s.told
        await trio.sleep(1)
        assert s.state("a") is State.RUNNING
        (known,) = s.supervisor.checks("a")
        assert (known.kind, known.healthy, known.failures) == ("exec", None, 0)


@pytest.mark.trio
async def test_a_check_ends_the_container(autojump_clock: MockClock) -> None:
    checks = {"c": Check(exec=("x",), period=5, threshold=1, action="shutdown")}
    async with stage({"a": service(checks=checks)}) as s:
        s.processes.behave["check"] = lambda process: process.exit(signal=9)
        await s.start()
        await trio.sleep(6)
        assert s.exit_status == 1
        assert s.order("unhealthy") == ["a"]


@pytest.mark.trio
async def test_a_check_that_hangs_is_killed(autojump_clock: MockClock) -> None:
    checks = {"c": Check(exec=("x",), period=5, timeout=1, threshold=1)}
    async with stage({"a": service(checks=checks)}) as s:
        seen: list[FakeProcess] = []
        s.processes.behave["check"] = seen.append
        await s.start()
        await trio.sleep(6.5)
        assert [process.signals for process in seen] == [[9]]
        (status,) = s.supervisor.status("a")
        assert status.healthy is False
        (known,) = s.supervisor.checks()
        assert (known.error, known.failures) == ("no answer within 1 s", 1)
        s.processes.behave["check"] = lambda process: process.exit(0)
        await trio.sleep(6)
        assert s.order("healthy") == ["a"]
        assert s.supervisor.status("a")[0].healthy is True


@pytest.mark.trio
async def test_a_check_that_can_not_start_is_a_failure(autojump_clock: MockClock) -> None:
    checks = {"c": Check(exec=("x",), period=5, threshold=1)}
    async with stage({"a": service(checks=checks)}) as s:
        await s.start()
        s.processes.errors["a"] = CommandNotFound("x", "no such file")
        await trio.sleep(6)
        assert s.supervisor.checks()[0].error == "x: no such file"


@pytest.mark.trio
async def test_checks_over_the_network(autojump_clock: MockClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        open_port, closed_port = (each.getsockname()[1] for each in (server, closed))
        checks = {
            "tcp": Check(tcp=str(open_port), period=1),
            "http": Check(http=HttpCheck(url=f"http://localhost:{closed_port}/"), period=1),
        }
        async with stage({"a": service(checks=checks)}) as s:
            await s.start()
            await trio.sleep(3.5)
            kinds = {known.name: (known.kind, known.healthy) for known in s.supervisor.checks()}
            assert kinds == {"tcp": ("tcp", True), "http": ("http", False)}


@pytest.mark.trio
async def test_checks_are_for_services_that_run(autojump_clock: MockClock) -> None:
    checks = {"c": Check(exec=("x",), period=5, threshold=1)}
    async with stage({"a": service(checks=checks)}) as s:
        s.processes.behave["check"] = lambda process: process.exit(0)
        await s.start()
        await trio.sleep(11)
        assert [check.healthy for check in s.supervisor.checks()] == [True]
        s.supervisor.stop("a")
        await trio.sleep(60)
        assert [check.healthy for check in s.supervisor.checks()] == [None]
        assert len([p for p in s.processes.spawned if p.launch.role == "check"]) == 2


@pytest.mark.trio
async def test_a_reload_puts_other_checks_in_force(autojump_clock: MockClock) -> None:
    checks = {"c": Check(exec=("x",), period=5)}
    async with stage({"a": service(checks=checks)}) as s:
        s.processes.behave["check"] = lambda process: process.exit(0)
        await s.start()
        pid = s.main("a").pid
        s.supervisor.reload({"a": service(checks={"d": Check(exec=("y",), period=5)})})
        await trio.sleep(6)
        assert s.main("a").pid == pid
        assert [c.name for c in s.supervisor.checks()] == ["d"]
        assert s.processes.spawned[-1].launch.argv == ("y",)


Handle = Callable[[trio.SocketStream], object]


async def serve(nursery: trio.Nursery, answer: bytes, asked: list[bytes]) -> int:
    async def handle(stream: trio.SocketStream) -> None:
        asked.append(await stream.receive_some())
        try:
            await stream.send_all(answer)
        except trio.BrokenResourceError:
            return
        await stream.aclose()

    listeners = await nursery.start(trio.serve_tcp, handle, 0)
    port: int = listeners[0].socket.getsockname()[1]
    return port


@pytest.mark.trio
@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 0, None),
        (b"HTTP/1.0 302\r\n", 0, None),
        (b"HTTP/1.0 404 Not Found\r\n", 0, "answered 404"),
        (b"HTTP/1.0 404 Not Found\r\n", 404, None),
        (b"HTTP/1.0 200 OK\r\n", 204, "answered 200"),
        (b"SSH-2.0\r\n", 0, "the answer is not HTTP"),
        (b"", 0, "no answer"),
        (b"x" * 20_000, 0, "the answer is not HTTP"),
    ],
)
async def test_http(answer: bytes, status: int, reason: str | None, nursery: trio.Nursery) -> None:
    asked: list[bytes] = []
    port = await serve(nursery, answer, asked)
    check = HttpCheck(url=f"http://127.0.0.1:{port}/up?x", headers={"host": "me"}, status=status)
    expected = pytest.raises(Unwell, match=f"^{reason}$") if reason else nullcontext()
    with expected:
        await probe_http(check)
    lines = asked[0].decode().split("\r\n")
    assert lines[0] == "GET /up?x HTTP/1.0"
    assert "host: me" in lines
    assert not any(line.startswith("Host") for line in lines)


@pytest.mark.trio
async def test_tcp(nursery: trio.Nursery) -> None:
    port = await serve(nursery, b"", [])
    await probe_tcp(str(port))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(Unwell, match="connection refused"):
            await probe_tcp(f"127.0.0.1:{unused.getsockname()[1]}")


@pytest.mark.trio
async def test_a_server_that_hangs_up(nursery: trio.Nursery) -> None:
    async def hang_up(stream: trio.SocketStream) -> None:
        # RST instead of FIN (socket(7), SO_LINGER).
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await stream.aclose()

    listeners = await nursery.start(trio.serve_tcp, hang_up, 0)
    port = listeners[0].socket.getsockname()[1]
    check = HttpCheck(url=f"http://127.0.0.1:{port}/", headers={"A": "x" * 10_000_000})
    with pytest.raises(Unwell, match=r"reset|broken pipe|no answer"):
        await probe_http(check)


@pytest.mark.trio
async def test_a_server_that_says_nothing(nursery: trio.Nursery) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        check = HttpCheck(url=f"http://127.0.0.1:{silent.getsockname()[1]}/")
        with trio.move_on_after(0.05) as scope:
            await probe_http(check)
        assert scope.cancelled_caught


@pytest.mark.parametrize("line", [b"", b"HTTP/1.1", b"HTTP/1.1 OK 200", b"200 HTTP/1.1"])
def test_what_is_not_http(line: bytes) -> None:
    with pytest.raises(Unwell, match="not HTTP"):
        parse_status(line)
