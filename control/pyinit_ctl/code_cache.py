"""The code of many modules in one file, beside the compiled files of Python's own.

An import looks through the folders of sys.path, opens a file and reads it; for modules as small
as these that takes longer than to run them. So what is loaded is kept together, and found in
one place the next time. As with Python's own compiled files nobody has to keep it up to date: a
module whose file has another size or time than it had is imported the usual way, and whatever
was imported that way is kept for the next time. Where the folder can't be written nothing is
kept.
"""

import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import (
    MAGIC_NUMBER,
    ExtensionFileLoader,
    SourceFileLoader,
    cache_from_source,
)

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

    # Of a module: its file, what tells whether that is the same, its folders if it is a package,
    # the place of Python's own compiled file, and where in the cache its code is: from which
    # byte on, and how many. Extension modules have none.
    Entry = tuple[str, tuple[int, int], list[str] | None, str | None, tuple[int, int] | None]
    Codes = dict[str, tuple[Entry, bytes]]

PREFIX = 8
"""Bytes that say how long the table of entries behind them is."""

AT_ONCE = 1 << 13
"""Bytes that are read first: all of the table of `exec`, and little of the codes behind it."""

MOST = 8 << 20
"""Bytes of a file that is written; all that the verbs can load is half of that."""


class CodeCache:
    """A finder of modules, for sys.meta_path: those kept in one file. It never raises OSError."""

    def __init__(self, name: str) -> None:
        self._path = _path_of(name)
        self._missed: list[str] = []
        self._fd, self._start, self._entries = _open(self._path)
        # What is forked closes descriptors, and has other files behind their numbers.
        self._pid = posix.getpid()

    def install(self) -> None:
        """Be asked from now on, behind those who have the modules inside the interpreter."""
        sys.meta_path.insert(2, self)

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """The module's specification, if it is kept and its file has not changed."""
        entry = self._entries.get(name) if posix.getpid() == self._pid else None
        code = self._code(entry) if entry is not None and _mark(entry[0]) == entry[1] else None
        if entry is None or code is None:
            self._missed.append(name)
            return None
        file, _, folders, compiled, place = entry
        is_extension = place is None
        loader = ExtensionFileLoader(name, file) if is_extension else _Kept(name, file, code)
        spec = ModuleSpec(name, loader, origin=file)
        spec.submodule_search_locations = folders
        spec.cached = compiled
        spec.has_location = True
        return spec

    def keep(self) -> None:
        """Write down what had to be imported the usual way, if anything. Raises nothing."""
        if sys.dont_write_bytecode:
            return
        try:
            found = {name: each for name in self._missed if (each := _code_of(name)) is not None}
            if found:
                kept = {
                    name: (entry, code)
                    for name, entry in self._entries.items()
                    if (code := self._code(entry)) is not None
                }
                _write(self._path, {**kept, **found})
        except (Exception, KeyboardInterrupt):
            # What was asked for has been done, and its status stands: whatever is wrong with
            # the files by now, such as a source that was changed to what is no Python.
            return

    def _code(self, entry: "Entry") -> bytes | None:
        """What is kept of the code, none of extension modules; None if it can't be read."""
        start, length = entry[4] or (0, 0)
        try:
            code = posix.pread(self._fd, length, self._start + start)
        except OSError:
            return None
        return code if len(code) == length else None


# Of a file that is trusted as Python's own compiled ones in the same folder are.
_loads = marshal.loads


class _Kept(SourceFileLoader):
    """Loads a module from its kept code; whatever else is asked of it comes from its file."""

    def __init__(self, name: str, file: str, code: bytes) -> None:
        super().__init__(name, file)
        self._code = code

    def get_code(self, fullname: str) -> "CodeType":
        code: CodeType = _loads(self._code)
        return code


def _path_of(name: str) -> str:
    file = f"{__file__[: __file__.rindex('/')]}/{name}.py"
    return f"{cache_from_source(file).removesuffix('.pyc')}.codes"


def _mark(file: str) -> tuple[int, int] | None:
    try:
        status = posix.stat(file)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _code_of(name: str) -> "tuple[Entry, bytes] | None":
    """What is to be kept of a loaded module, if it came from a file; where is not known yet."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is None or type(spec.loader) not in (SourceFileLoader, ExtensionFileLoader):
        return None
    mark = _mark(spec.origin)  # before the code: what changes in between is found to be older
    if mark is None:
        return None
    code = spec.loader.get_code(name)
    folders = spec.submodule_search_locations
    entry = (spec.origin, mark, None if folders is None else [*folders], spec.cached, None)
    return entry, b"" if code is None else marshal.dumps(code)


def _interpreter() -> list[object]:
    """What the kept code is right for: the same interpreter that looks in the same folders."""
    return [MAGIC_NUMBER, sys.version, sys.path]


def _open(path: str) -> "tuple[int, int, dict[str, Entry]]":
    """The file's descriptor, where in it the codes begin, and its table; or nothing usable."""
    fd = -1
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        start, table = _table(fd)
        interpreter, entries = _loads(table)
        # Standard streams that are closed will be opened on /dev/null, and may not be this.
        if fd > 2 and interpreter == _interpreter():
            return fd, start, entries
    except (OSError, EOFError, ValueError, TypeError):
        pass
    if fd >= 0:
        posix.close(fd)
    return -1, 0, {}


def _table(fd: int) -> tuple[int, bytes]:
    data = posix.pread(fd, AT_ONCE, 0)
    start = PREFIX + int.from_bytes(data[:PREFIX], "little")
    if start > len(data):
        data += posix.pread(fd, min(start, MOST) - len(data), len(data))
    return start, data[PREFIX:start]


def _write(path: str, codes: "Codes") -> None:
    """Put the file in its place at once, whoever reads or writes it meanwhile. Raises OSError."""
    entries: dict[str, Entry] = {}
    start = 0
    for name, (entry, code) in codes.items():
        entries[name] = (*entry[:4], (start, len(code)) if code else None)
        start += len(code)
    table = marshal.dumps((_interpreter(), entries))
    data = len(table).to_bytes(PREFIX, "little") + table
    data += b"".join(code for _, code in codes.values())
    if len(data) > MOST:
        return
    half_made = f"{path}.{posix.getpid()}"
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
    fd = posix.open(half_made, flags, 0o644)
    try:
        _write_whole(fd, data)
        posix.replace(half_made, path)
    except (OSError, KeyboardInterrupt):
        posix.unlink(half_made)
        raise


def _write_whole(fd: int, data: bytes) -> None:
    """Write the file, or raise OSError, and close it."""
    try:
        if posix.write(fd, data) != len(data):
            raise OSError("no room for the whole file")
    finally:
        posix.close(fd)
