from __future__ import annotations

import signal
from pathlib import Path

import pytest

from pyinit.errors import NotFound, SystemFault, UsageError
from pyinit.spec.faults import SpecError
from pyinit.spec.limits import UNLIMITED
from pyinit.spec.service import ServiceSpec, decode_services, encode_services
from pyinit.spec.services_file import Layer, load_services, read_layers

FULL = """
[services.web]
command = "nginx -g 'daemon off;'"
user = "www-data"
group = "www-data"
env = { PORT = 80, MODE = "x" }
env-files = ["/etc/web.env"]
cwd = "/srv"
umask = "0027"
rlimits = { nofile = "1024:4096", core = 0, RLIMIT_STACK = ["1M", "unlimited"] }
cap-add = ["NET_BIND_SERVICE"]
cap-drop = ["CAP_CHOWN"]
no-new-privileges = true
limits = { memory = "64M", memory-swap = "unlimited", cpus = 1.5, pids = 100 }
type = "notify"
requires = ["database"]
wants = ["cache"]
after = ["cache"]
before = []
restart = "on-failure"
success-exit-codes = [3, "SIGTERM"]
backoff = { initial = "200ms", factor = 3, jitter = 0, limit = "1m", attempts = 5 }
start-timeout = "1m30s"
stop-signal = "QUIT"
stop-timeout = 5
stop-command = ["nginx", "-s", "quit"]
kill-mode = "group"
on-failure = "shutdown"
watchdog = "30s"
sockets = ["tcp:127.0.0.1:80", { listen = "unix:/run/web.sock", name = "admin", mode = "0600" }]
log = { max-size = "1M", max-files = 3 }
checks.alive = { http = "http://localhost/health", period = "5s" }
checks.port = { tcp = 80, action = "restart" }
checks.work = { exec = "test -e /run/ok", http.url = "http://[::1]:81/" }

[services.database]
command = ["postgres"]
[services.cache]
command = ["redis-server"]
"""


def faults_of(*texts: str) -> list[str]:
    layers = [Layer(f"{number}.toml", text) for number, text in enumerate(texts)]
    with pytest.raises(SpecError) as caught:
        read_layers(layers)
    return str(caught.value).split("\n")


def service(*texts: str) -> ServiceSpec:
    layers = [Layer("x", f"[services.a]\n{text}") for text in texts]
    return read_layers(layers)["a"]


def test_every_key_is_read() -> None:
    text = FULL.replace(', http.url = "http://[::1]:81/"', "")
    web = read_layers([Layer("x", text)])["web"]
    assert web.command == ("nginx", "-g", "daemon off;")
    assert web.env == {"PORT": "80", "MODE": "x"}
    assert web.umask == 0o27
    assert web.rlimits == {"nofile": (1024, 4096), "core": (0, 0), "stack": (1 << 20, UNLIMITED)}
    assert (web.limits.memory, web.limits.memory_swap) == (64 << 20, UNLIMITED)
    assert web.success_exit_codes == (3, 128 + signal.SIGTERM)
    assert web.backoff.initial == pytest.approx(0.2)
    assert web.start_timeout == 90
    assert web.stop_signal == signal.SIGQUIT
    assert web.checks["alive"].http is not None
    assert web.checks["port"].tcp == "80"
    assert web.sockets[1].mode == 0o600


def test_services_go_through_json_unchanged() -> None:
    text = FULL.replace(', http.url = "http://[::1]:81/"', "")
    services = read_layers([Layer("x", text)])
    assert decode_services(encode_services(services)) == services


def test_a_check_of_two_kinds_is_refused_at_its_place() -> None:
    assert faults_of(FULL) == ["0.toml:34:15: a check has exactly one of `exec`, `tcp` and `http`"]


def test_every_fault_of_every_file_is_reported_at_once() -> None:
    first = """[services.web]
comand = "x"
restart = "alway"
stop-timeout = "10x"
requires = ["databse", "web"]
env = { A = true }
[services.database]
command = ["a", 1]
"""
    assert faults_of(first, "x = [", "[services.web]\nlimits.memory = -2\n", "other = 1") == [
        "0.toml:1:11: `command` is missing",
        "0.toml:2:1: unknown key `comand`; did you mean `command`?",
        (
            """0.toml:3:11: `restart`: expected one of "no", "on-failure", "always", """
            """got 'alway'; did you mean "always"?"""
        ),
        (
            """0.toml:4:16: `stop-timeout`: expected a duration such as "10s", """
            """"1m30s" or "500ms", got '10x'"""
        ),
        "0.toml:5:13: `requires`: unknown service `databse`; did you mean `database`?",
        "0.toml:5:24: `requires`: a service can't name itself",
        "0.toml:6:7: `env`: Expected `str`, got `bool`",
        "0.toml:8:17: `command`: Expected `str`, got `int`",
        "1.toml:1:6: Invalid value at the end",
        "2.toml:2:17: `memory`: a size is not negative, got -2",
        "3.toml:1:1: unknown key `other`",
    ]


def test_a_cycle_is_named_as_a_path() -> None:
    text = "".join(
        f'[services.{name}]\ncommand = "x"\nafter = ["{other}"]\n'
        for name, other in [("a", "c"), ("b", "a"), ("c", "b")]
    )
    (fault,) = faults_of(text)
    assert fault == "0.toml:4:11: services wait for each other: b -> c -> a -> b"


def test_later_layers_merge_tables_and_replace_the_rest() -> None:
    spec = service(
        'command = "a b"\nenv = { A = "1", B = "2" }\nchecks.x.tcp = 1\nafter = []\n',
        'command = ["c"]\nenv = { B = "3" }\nchecks.x.period = 5\n',
    )
    assert spec.command == ("c",)
    assert spec.env == {"A": "1", "B": "3"}
    assert (spec.checks["x"].tcp, spec.checks["x"].period) == ("1", 5)


def test_a_later_layer_can_replace_a_service() -> None:
    spec = service('command = "a"\nuser = "x"', 'override = "replace"\ncommand = "b"')
    assert (spec.command, spec.user) == (("b",), "")


def test_a_fault_is_placed_in_the_layer_that_brought_it_in() -> None:
    base = '[services.a]\ncommand = "a"\nbackoff = { factor = 0 }\ntype = "oneshot"\n'
    assert faults_of(base, "[services.a]\nbackoff.initial = 99\n\nbackoff.limit = 1") == [
        "0.toml:3:22: `factor`: expected 1 to 1000",
        "1.toml:4:17: `limit` is below `initial`",
    ]
    assert faults_of(base, '[services.a]\noverride = "drop"\nbackoff.factor = 1\n') == [
        '1.toml:2:12: `override`: expected "merge" or "replace"'
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("services = 1", "0.toml:1:12: `services`: expected tables [services.NAME]"),
        ("[services]\na = 1", "0.toml:2:5: expected a table [services.a]"),
        ("x = " + "[" * 3000 + "]" * 3000, "0.toml:1:1: nested too deeply"),
        ('[services.a]\ncommand = "a\'b"', "0.toml:2:11: `command`: No closing quotation"),
        ("a = 1\nb = 1 2", "0.toml:2:7: Expected newline or end of document after a statement"),
    ],
)
def test_a_file_of_another_shape(text: str, fault: str) -> None:
    assert faults_of(text) == [fault]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('umask = "9"', "octal"),
        ("umask = true", "Expected `int`"),
        ("env = 3", "Expected `object`"),
        ("env = { A = 1979-05-27 }", "Expected `str`"),
        ("rlimits = 3", "Expected `object`"),
        ("rlimits = { nofile = [1] }", "length 2"),
        ("rlimits = { nofile = [2, 1] }", "above the hard one"),
        ("rlimits = { nofile = -5 }", "give 0 to 2^63-1"),
        ("limits = { memory = 1 }", "give at least 4096"),
        ("limits = { memroy = 1 }", "did you mean `memory`"),
        ("limits = { cpu-weight = 0 }", "cpu_weight"),
        ('cap-add = ["NET_ADMN"]', "no such capability"),
        ("rlimits = { nofiles = 5 }", "did you mean `nofile`"),
        ("success-exit-codes = 3", "Expected `array`"),
        ("success-exit-codes = [300]", "0 to 255"),
        ("sockets = 3", "Expected `array`"),
        ("checks = 3", "Expected `object`"),
        ("checks.a = 3", "Expected `object`"),
        ("limits = 3", "Expected `object`"),
        ("restart = 3", "expected one of"),
        ("command = 3", "Expected `array`"),
        ("checks.a.tcp = true", "Expected `str`"),
        ("checks.a.http = {}", "`url` is missing"),
    ],
)
def test_values_of_the_wrong_kind(line: str, message: str) -> None:
    command = "" if line.startswith("command") else '\ncommand = "x"'
    faults = faults_of(f"[services.a]\n{line}{command}\n")
    (fault, *_) = [fault for fault in faults if message in fault]
    assert fault.startswith("0.toml:2:")


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "20-b.toml").write_text('[services.a]\nuser = "b"')
    (tmp_path / "10-a.toml").write_text('[services.a]\ncommand = "a"\nuser = "a"')
    (tmp_path / "notes.txt").write_text("not TOML")
    assert load_services(tmp_path)["a"].user == "b"


def test_what_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no \*.toml"):
        load_services(tmp_path)
    with pytest.raises(NotFound, match="no such file"):
        load_services(tmp_path / "x.toml")
    (tmp_path / "bytes.toml").write_bytes(b"# a\n# \xff\n")
    with pytest.raises(SpecError, match=r"bytes.toml:2:3: not UTF-8"):
        load_services(tmp_path)
    (tmp_path / "big.toml").write_bytes(b"\n" * (4 << 20 | 1))
    with pytest.raises(UsageError, match="larger"):
        load_services(tmp_path / "big.toml")
    with pytest.raises(SystemFault, match="read services"):
        load_services(tmp_path / "big.toml" / "x")
