"""Users and groups as docker and podman look them up, from files that may be hostile."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinit.errors import UsageError
from pyinit.init import users
from pyinit.init.users import User, UserDatabase

PASSWD = b"""\
# a comment:x:77:77::/:
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1::/usr/sbin:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
+nis:x:99:99::/:
short:x:50:51
1000:x:44:44:a name of digits:/home/digits:/bin/sh
ada:x:1000:1000:Ada,,,:/home/ada:/bin/zsh
twin:x:1000:2000::/home/twin:/bin/sh
huge:x:4294967295:1::/:/bin/sh
caf\xc3\xa9:x:1200:1200::/home/caf\xc3\xa9:/bin/sh
"""
GROUP = b"""\
root:x:0:
adm:x:4:ada,syslog
disk:x:6:bada
www-data:x:33:
wheel:x:10:root,ada
own:x:1000:ada
adm2:x:4:ada
users:x:100:x,adam,ada
broken:x:300:ada:more
"""


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "passwd").write_bytes(PASSWD)
    (folder / "group").write_bytes(GROUP)
    return folder


@pytest.fixture
def database(etc: Path) -> Iterator[UserDatabase]:
    root = os.open(etc.parent, os.O_PATH)
    yield UserDatabase(root)
    os.close(root)


ADA = User(1000, 1000, (4, 10, 100), "ada", "/home/ada", "/bin/zsh")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("root", User(0, 0, (10,), "root", "/root", "/bin/bash")),
        ("0", User(0, 0, (10,), "root", "/root", "/bin/bash")),
        ("", User(0, 0, (10,), "root", "/root", "/bin/bash")),
        ("ada", ADA),
        ("1000", ADA),
        ("01000", ADA),
        ("ada:www-data", User(1000, 33, (), "ada", "/home/ada", "/bin/zsh")),
        ("ada:7", User(1000, 7, (), "ada", "/home/ada", "/bin/zsh")),
        (":www-data", User(0, 33, (), "root", "/root", "/bin/bash")),
        ("4321", User(4321, 0, (), "", "/", "")),
        ("4321:users", User(4321, 100, (), "", "/", "")),
        ("4294967294", User(4294967294, 0)),
        ("short", User(50, 51, (), "short", "/", "")),
        ("99", User(99, 0)),
        ("77", User(77, 0)),
        ("café", User(1200, 1200, (), "café", "/home/café", "/bin/sh")),
    ],
)
def test_lookup(database: UserDatabase, wanted: str, found: User) -> None:
    assert database.lookup(wanted) == found


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("nobody", "user 'nobody' is not in the container's /etc/passwd"),
        ("ada:nogroup", "group 'nogroup' is not in the container's /etc/group"),
        ("ada:", "no group after the colon"),
        (":", "no group after the colon"),
        ("4294967295", "at most 4294967294"),
        ("9" * 5000, "at most 4294967294"),
        ("ada:4294967295", "at most 4294967294"),
        ("-1", "not in the container"),
        ("huge", "not in the container"),
        ("root:x:0", "can't be a name"),
        ("ad\na", "can't be a name"),
        ("a" * 5000, "can't be a name"),
        ("a\0", "can't be a name"),
        ("ro*t", "not in the container"),
        ("٣", "not in the container"),
    ],
)
def test_refused(database: UserDatabase, wanted: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        database.lookup(wanted)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_answer_is_kept_until_a_file_changes(database: UserDatabase, etc: Path) -> None:
    first = database.lookup("ada")
    assert database.lookup("ada") is first
    (etc / "group").write_bytes(GROUP + b"new:x:500:ada\n")
    assert database.lookup("ada").groups == (4, 10, 100, 500)


def test_the_cache_has_a_limit(database: UserDatabase) -> None:
    for uid in range(1000):
        database.lookup(str(uid + 5000))
    assert len(database._found) <= users._MAX_CACHED


def test_errors_are_not_kept(database: UserDatabase) -> None:
    for _ in range(2):
        with pytest.raises(UsageError):
            database.lookup("nobody")


def make_missing(path: Path) -> None:
    path.unlink()


def make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def make_way_out(path: Path) -> None:
    outside = path.parent.parent.parent / "outside"
    outside.write_bytes(b"root:x:0:0::/outside:\n")
    path.unlink()
    path.symlink_to("../../../../outside")


def make_proc_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/proc/self/fd/0")


def make_sparse_gigabyte(path: Path) -> None:
    with path.open("wb") as opened:
        opened.truncate(1 << 30)


def make_junk(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 4096)


def make_one_line(path: Path) -> None:
    path.write_bytes(b"root:x:0:0::/" + b"x" * (1 << 19))


HOSTILE = [
    make_missing,
    make_fifo,
    make_folder,
    make_loop,
    make_way_out,
    make_proc_link,
    make_sparse_gigabyte,
    make_junk,
    make_one_line,
]


@pytest.mark.parametrize("make", HOSTILE)
def test_hostile_files_have_no_entries(database: UserDatabase, etc: Path, make: object) -> None:
    assert callable(make)
    make(etc / "passwd")
    make(etc / "group")
    assert database.lookup("0") == User(0, 0)
    assert database.lookup("12:34") == User(12, 34)
    with pytest.raises(UsageError):
        database.lookup("root")
    with pytest.raises(UsageError):
        database.lookup("0:root")


@pytest.mark.root
def test_a_device_is_never_opened(database: UserDatabase, etc: Path) -> None:
    (etc / "passwd").unlink()
    os.mknod(etc / "passwd", 0o20666, os.makedev(1, 5))
    assert database.lookup("0") == User(0, 0)


@pytest.mark.parametrize(
    "line",
    [
        b"a,a,a,a,a," * 100_000 + b":",
        b"g:x:1:" + b"a," * 500_000 + b":",
        b"g:x:1:" + b"a" * 1_000_000,
        b"\n" * 1_000_000,
        b":" * 1_000_000,
        b"a:" * 500_000,
        b"a:x:1:\n" * 150_000,
        b"a" * 1_000_000,
    ],
)
def test_no_content_takes_long(line: bytes) -> None:
    """A pattern that backtracks would take minutes; the limit is only that it ends at all."""
    before = time.process_time()
    users.find_memberships(line, User(5, 5, name="a"))
    users.find_user(line, "5")
    with pytest.raises(UsageError):
        users.find_group(line, "q")
    with pytest.raises(UsageError):
        users.find_user(line, "q")
    assert time.process_time() - before < 10


def test_a_hundred_thousand_groups_are_refused() -> None:
    content = b"".join(b"g%d:x:%d:ada\n" % (n, n) for n in range(1, 70_000))
    with pytest.raises(UsageError, match="65536"):
        users.find_memberships(content, User(0, 0, name="ada"))


def test_a_login() -> None:
    assert users.login_environment(ADA, "xterm-256color") == {
        "PATH": users.DEFAULT_PATH,
        "HOME": "/home/ada",
        "USER": "ada",
        "LOGNAME": "ada",
        "SHELL": "/bin/zsh",
        "TERM": "xterm-256color",
    }
    assert users.login_environment(User(4321, 0)) == {"PATH": users.DEFAULT_PATH, "HOME": "/"}


names = st.text("abcxyz-_.0", min_size=1, max_size=6).filter(lambda n: not n.isdigit())
ids = st.integers(0, users.MAX_ID)
texts = st.text("ab /,", max_size=5)
passwd_lines = st.tuples(names.filter(lambda n: n[0] not in "+-"), ids, ids, texts, texts)
group_lines = st.tuples(names.filter(lambda n: n[0] not in "+-"), ids, st.lists(names, max_size=5))


@given(st.lists(passwd_lines, max_size=8), names, st.data())
def test_the_first_entry_wins(
    lines: list[tuple[str, int, int, str, str]], name: str, data: st.DataObject
) -> None:
    content = "".join(f"{n}:x:{u}:{g}::{h}:{s}\n" for n, u, g, h, s in lines).encode()
    wanted = data.draw(st.sampled_from([name, *(line[0] for line in lines)]))
    entries = [line for line in lines if line[0] == wanted]
    if entries:
        n, u, g, h, s = entries[0]
        assert users.find_user(content, wanted) == User(u, g, (), n, h or "/", s)
    else:
        with pytest.raises(UsageError):
            users.find_user(content, wanted)
    for line in lines:
        first = next(other for other in lines if other[1] == line[1])
        assert users.find_user(content, str(line[1])).name == first[0]


@given(st.lists(group_lines, max_size=8), names, ids)
def test_memberships_are_those_of_a_plain_parser(
    lines: list[tuple[str, int, list[str]]], name: str, own: int
) -> None:
    content = "".join(f"{n}:x:{g}:{','.join(m)}\n" for n, g, m in lines).encode()
    expected = dict.fromkeys(g for _, g, m in lines if name in m and g != own)
    assert users.find_memberships(content, User(1, own, name=name)) == tuple(expected)


@given(st.binary(max_size=400), st.text(max_size=8))
def test_any_content_gives_an_answer_or_a_usage_error(content: bytes, wanted: str) -> None:
    with suppress(UsageError):
        user = users.find_user(content, wanted)
        if user.name:
            users.find_memberships(content, user)
        users.find_group(content, wanted)


lines_of_junk = st.lists(
    st.sampled_from([b":", b",", b"\n", b"a", b"0", b"1", b"x", b"\0", b"\xff", b"-", b"#"]),
    max_size=60,
).map(b"".join)


@given(lines_of_junk)
def test_junk_near_the_format(content: bytes) -> None:
    for wanted in ("a", "x", "0", "1"):
        with suppress(UsageError):
            user = users.find_user(content, wanted)
            assert 0 <= user.uid <= users.MAX_ID
            assert "\0" not in user.name + user.home + user.shell
            if user.name:
                users.find_memberships(content, user)
