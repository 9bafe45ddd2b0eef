"""The pages hang together: every link leads somewhere, and every page is found from the index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """The page's links within the tree: the file, and the heading's anchor or nothing."""
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if "://" not in target and not target.startswith("mailto:"):
            path, _, anchor = target.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def anchors(page: Path) -> set[str]:
    """Headings as the forges name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in links(page):
        assert target.exists(), f"{name(page)} links to {target}, which is not there"
        assert not anchor or anchor in anchors(target), f"{name(page)}: no heading #{anchor}"


def test_every_page_is_found_from_the_index() -> None:
    found: set[Path] = set()
    new = {ROOT / "docs" / "README.md"}
    while new:
        page = new.pop()
        found.add(page)
        new |= {target for target, _ in links(page) if target.suffix == ".md"} - found
    lost = {name(page) for page in ROOT.glob("docs/**/*.md")} - {name(page) for page in found}
    assert not lost, f"no link leads to {lost}"
