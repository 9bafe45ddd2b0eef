"""The code of a verb's modules is kept together, and never used for other files."""

from __future__ import annotations

import marshal
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# The entry, as the script calls it; then how each module was loaded.
ENTRY = """
import sys
sys.dont_write_bytecode = bool(int(sys.argv.pop(1)))
sys.path += sys.argv.pop(1).split(":")
import posix
from pyinit_ctl import __main__ as entry
def leave(status):
    print("modules:")
    for name, module in sorted(sys.modules.items()):
        loader = getattr(getattr(module, "__spec__", None), "loader", None)
        print(name, type(loader).__name__)
    sys.stdout.flush()
    posix._exit(status)
entry.leave = leave
entry.main()
"""

MARK = "modules:\n"
ENTRY_MODULES = {"pyinit_ctl", "pyinit_ctl.__main__", "pyinit_ctl.code_cache"}


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    for package in ("pyinit", "control/pyinit_ctl"):
        without = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=without)
    return tmp_path


def folders(sources: Path) -> str:
    return f"{sources}:{sources / 'control'}"


def python(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, *words],
        capture_output=True,
        text=True,
        timeout=30,
    )


def kept(sources: Path) -> list[Path]:
    return sorted(sources.glob("control/pyinit_ctl/__pycache__/*.codes*"))


def loaders(sources: Path, *words: str, writes: bool = True) -> dict[str, str]:
    """How each module was loaded for an exec that finds no container, or for other words."""
    words = words or (f"{sources}/none", "true")
    done = python(ENTRY, str(int(not writes)), folders(sources), "exec", *words)
    told = done.stdout.partition(MARK)[2]
    assert told, done.stderr
    return dict(line.split(" ") for line in told.splitlines())


def by_file(found: dict[str, str]) -> set[str]:
    """Those that Python had to look for, but for what it starts with."""
    by_file = {name for name, loader in found.items() if loader == "SourceFileLoader"}
    return {name for name in by_file if not name.startswith("encodings")}


def test_the_second_time_nothing_is_looked_for(sources: Path) -> None:
    first = loaders(sources)
    assert "_Kept" not in first.values()
    assert [file.name for file in kept(sources)] == [f"small.{sys.implementation.cache_tag}.codes"]
    mark = kept(sources)[0].stat()

    second = loaders(sources)
    assert first.keys() == second.keys()
    assert second["pyinit_ctl.exec_fast"] == "_Kept"
    assert by_file(second) == ENTRY_MODULES
    assert kept(sources)[0].stat().st_mtime_ns == mark.st_mtime_ns  # written once


def test_a_changed_module_is_seen_and_kept(sources: Path) -> None:
    loaders(sources)
    flags = sources / "control/pyinit_ctl/flags.py"
    with flags.open("a") as file:
        file.write("\nimport colorsys\n")
    changed = loaders(sources)
    assert changed["pyinit_ctl.flags"] == "SourceFileLoader"
    assert changed["colorsys"] == "SourceFileLoader"
    assert loaders(sources)["colorsys"] == loaders(sources)["pyinit_ctl.flags"] == "_Kept"


def test_a_module_of_the_same_size_and_a_new_time_is_seen(sources: Path) -> None:
    loaders(sources)
    os.utime(sources / "control/pyinit_ctl/flags.py", ns=(1, 1))
    assert loaders(sources)["pyinit_ctl.flags"] == "SourceFileLoader"


def test_what_another_way_loads_is_kept_too(sources: Path) -> None:
    loaders(sources)
    assert loaders(sources, "--help")["pyinit_ctl.exec_help"] == "SourceFileLoader"
    assert loaders(sources, "--help")["pyinit_ctl.exec_help"] == "_Kept"
    assert by_file(loaders(sources)) == ENTRY_MODULES


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x" * 100,
        b"\xff" * 100,
        (5).to_bytes(8, "little") + marshal.dumps(1),
        (1 << 20).to_bytes(8, "little") + bytes(1 << 17),
    ],
)
def test_a_damaged_file_is_replaced(sources: Path, data: bytes) -> None:
    loaders(sources)
    (file,) = kept(sources)
    file.write_bytes(data)
    assert "_Kept" not in loaders(sources).values()
    assert "_Kept" in loaders(sources).values()


def test_a_copy_does_not_use_the_code_of_where_it_came_from(sources: Path, tmp_path: Path) -> None:
    loaders(sources)
    copy = tmp_path / "copy"
    for package in ("pyinit", "control"):
        shutil.copytree(sources / package, copy / package)
    assert kept(copy)
    assert "_Kept" not in loaders(copy).values()


def test_nothing_is_written_where_python_writes_nothing(sources: Path) -> None:
    loaders(sources, writes=False)
    assert not kept(sources)


def test_where_nothing_can_be_written_nothing_is_said(sources: Path) -> None:
    folder = sources / "control/pyinit_ctl/__pycache__"
    folder.touch()
    assert "_Kept" not in loaders(sources).values()
    folder.unlink()
    (folder / f"small.{sys.implementation.cache_tag}.codes").mkdir(parents=True)
    assert "_Kept" not in loaders(sources).values()
    assert [file.is_dir() for file in kept(sources)] == [True]


LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
"""


def test_nothing_half_made_stays(sources: Path) -> None:
    """Where the whole file can't be written, as on a full disk."""
    loaders(sources)
    kept(sources)[0].unlink()
    done = python(LIMITED + ENTRY, "0", folders(sources), "exec", f"{sources}/none", "true")
    assert MARK in done.stdout, done.stderr
    assert not kept(sources)
    loaders(sources)
    assert "_Kept" in loaders(sources).values()


SPOILED = """
import sys
def spoil():
    from pathlib import Path
    from pyinit_ctl import flags
    Path(flags.__file__).write_text("this is no Python")
"""


def test_the_status_stands_whatever_the_files_are_by_then(sources: Path) -> None:
    program = SPOILED + ENTRY.replace("entry.main()", SPOIL_BEFORE_KEEP)
    done = python(program, "0", folders(sources), "exec", f"{sources}/none", "true")
    assert MARK in done.stdout, done.stderr
    assert done.returncode == 125


SPOIL_BEFORE_KEEP = """
from pyinit_ctl.code_cache import CodeCache
keep = CodeCache.keep
def keep_too_late(self):
    spoil()
    keep(self)
CodeCache.keep = keep_too_late
entry.main()
"""


def test_many_at_once_leave_one_whole_file(sources: Path) -> None:
    folders = f"{sources}:{sources / 'control'}"
    words = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        ENTRY,
        "0",
        folders,
        "exec",
        f"{sources}/none",
        "true",
    ]
    running = [
        subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(8)
    ]
    assert [process.wait(30) for process in running] == [125] * 8
    assert len(kept(sources)) == 1
    assert "_Kept" in loaders(sources).values()


INSPECT = """
import sys
sys.path += sys.argv.pop(1).split(":")
from pyinit_ctl.code_cache import CodeCache
CodeCache("small").install()
from pyinit_ctl import flags
assert type(flags.__spec__.loader).__name__ == "_Kept"
import inspect, importlib
assert "def parse" in inspect.getsource(flags.parse)
assert flags.__spec__.loader.get_data(flags.__file__)
importlib.reload(flags)
"""


def test_a_kept_module_shows_its_source(sources: Path) -> None:
    loaders(sources)
    done = python(INSPECT, folders(sources))
    assert done.returncode == 0, done.stderr


FORKED = """
import sys
sys.path += sys.argv.pop(1).split(":")
from pyinit_ctl.code_cache import CodeCache
CodeCache("small").install()
import os
child = os.fork()
from pyinit_ctl import flags
name = type(flags.__spec__.loader).__name__
if child == 0:
    os._exit(7 if name == "SourceFileLoader" else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert name == "_Kept"
"""


def test_a_forked_process_looks_for_itself(sources: Path) -> None:
    """It closes descriptors, opens others, and may have another root."""
    loaders(sources)
    done = python(FORKED, folders(sources))
    assert done.returncode == 0, done.stderr


def test_the_file_never_becomes_a_standard_stream(sources: Path) -> None:
    loaders(sources)
    program = [sys.executable, "-I", "-S", "-c", ENTRY, "0", folders(sources)]
    words = [*program, "exec", f"{sources}/none", "true"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *words], capture_output=True, text=True, timeout=30
    )
    assert MARK in done.stdout
    assert "_Kept" not in done.stdout
