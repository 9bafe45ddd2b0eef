from __future__ import annotations

import os
from pathlib import Path

from pyinit.container.folder import remove_tree


def test_a_tree_is_removed_and_nothing_that_its_links_lead_to(tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "inner").mkdir(parents=True)
    (other / "file").touch()
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "file").touch()
    (tree / "link").symlink_to(other)
    (tree / "a" / "file").symlink_to(other / "file")
    os.mkfifo(tree / "fifo")
    (tree / "a" / "b").chmod(0)  # as overlayfs leaves one
    remove_tree(tree)
    assert not tree.exists()
    assert sorted(each.name for each in other.iterdir()) == ["file", "inner"]


def test_what_is_no_folder_stays(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    link = tmp_path / "link"
    link.symlink_to(target)
    for path in (link, tmp_path / "missing"):
        remove_tree(path)
    assert link.is_symlink()
    assert target.is_dir()
