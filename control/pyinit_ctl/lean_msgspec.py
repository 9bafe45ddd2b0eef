"""msgspec without what it loads for parts of it that are used nowhere here: half of its time.

It loads its readers of TOML, YAML and MessagePack, its JSON schemas and its introspection, and
with them textwrap; typing_extensions where that is installed, of which it needs nothing that
typing lacks, and which loads inspect, ast and tokenize; and uuid, which loads platform to ask
for nothing but the system's name.
"""

from __future__ import annotations

import posix
import sys

TYPE_CHECKING = False

if TYPE_CHECKING:
    from types import ModuleType

_PARTS = ("inspect", "msgpack", "toml", "yaml")


def load() -> None:
    """Load msgspec, unless it is there. What is left out can be imported afterwards as ever."""
    if "msgspec" in sys.modules:
        return
    there = {*sys.modules}
    stand_ins = {name: each for name, each in _stand_ins().items() if name not in there}
    # None makes an import fail as if the module were not installed.
    sys.modules.update(stand_ins)  # type: ignore[arg-type]
    try:
        import msgspec
        import msgspec.json
    except (ImportError, AttributeError):
        # Another version, which needs them after all.
        for name in [*sys.modules]:
            if name not in there and name.partition(".")[0] in ("msgspec", "uuid"):
                del sys.modules[name]
    else:
        for part in _PARTS:
            vars(msgspec).pop(part, None)
        for name in ("schema", "schema_components"):
            vars(msgspec.json).pop(name, None)
    finally:
        for name, each in stand_ins.items():
            if sys.modules.get(name, each) is each:
                sys.modules.pop(name, None)


def _stand_ins() -> dict[str, ModuleType | None]:
    module = type(sys)
    found: dict[str, ModuleType | None] = {
        f"msgspec.{part}": module(f"msgspec.{part}") for part in _PARTS
    }
    schema = module("msgspec._json_schema")
    vars(schema).update(schema=None, schema_components=None)
    platform = module("platform")
    vars(platform).update(system=lambda: posix.uname().sysname)
    return {
        **found,
        "msgspec._json_schema": schema,
        "platform": platform,
        "typing_extensions": None,
    }
