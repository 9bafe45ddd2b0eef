#!/usr/bin/env python3
"""Writes docs/reference/protocol.md from the interface's definition; with --check compares only."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pyinit.varlink.idl import parse  # noqa: E402
from pyinit.varlink.idl_reference import markdown  # noqa: E402
from pyinit.varlink.service import definition  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "protocol.md"
INTERFACE = "io.pyinit.Control"

HEAD = """\
<!-- Written by tools/reference_protocol.py from the definition that the server hands out. -->

"""


def page() -> str:
    """The page as it should be."""
    return HEAD + markdown(parse(definition(INTERFACE), INTERFACE))


def main() -> int:
    if "--check" in sys.argv:
        return 0 if PAGE.read_text() == page() else 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
