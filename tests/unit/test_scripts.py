"""scripts/pyinit-ctl finds its interpreter and its packages however it is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "pyinit-ctl"
VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"

MAIN = """
import sys
lean = "re" not in sys.modules
def main():
    import json
    told = [sys.argv[1:], __file__, sys.flags.isolated, sys.flags.no_site, lean]
    print(json.dumps(told))
    return 7
"""


def package(folder: Path) -> Path:
    package = folder / "pyinit_ctl"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(MAIN)
    return package / "__main__.py"


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A folder laid out as an installer does it, with no packages yet."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "lib" / VERSION / "site-packages").mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / "bin")
    (tmp_path / "bin" / "pyinit").write_text(f"#!{sys.executable}\nimport sys\n")
    return tmp_path


def site_packages(prefix: Path) -> Path:
    return prefix / "lib" / VERSION / "site-packages"


def told(script: Path, *arguments: str, **options: str | Path) -> list[object]:
    done = subprocess.run([script, *arguments], capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 7, done.stderr
    return list(json.loads(done.stdout))


def test_it_runs_the_package_beside_it_without_site(prefix: Path) -> None:
    main = package(site_packages(prefix))
    arguments = ["exec", "a b", "--", "", "*", "'"]
    found = told(prefix / "bin" / "pyinit-ctl", *arguments)
    assert found == [arguments, str(main), 1, 1, True]


def test_it_follows_links_to_itself(prefix: Path) -> None:
    main = package(site_packages(prefix))
    link = prefix / "link"
    link.symlink_to(prefix / "bin" / "pyinit-ctl")
    assert told(link)[1] == str(main)


def test_it_is_found_by_path_search(prefix: Path) -> None:
    main = package(site_packages(prefix))
    path = f"{prefix / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", "pyinit-ctl x"], capture_output=True, text=True, env={"PATH": path}
    )
    assert json.loads(done.stdout)[1] == str(main)


def test_an_editable_installation_is_a_file_of_folders(prefix: Path) -> None:
    main = package(prefix / "tree" / "control")
    lines = f"{prefix / 'tree'}\n{prefix / 'tree' / 'control'}"
    (site_packages(prefix) / "_pyinit_ctl.pth").write_text(lines)
    assert told(prefix / "bin" / "pyinit-ctl")[1] == str(main)


def test_nothing_is_taken_from_where_the_user_stands(prefix: Path) -> None:
    main = package(site_packages(prefix))
    decoy = prefix / "decoy"
    package(decoy)
    (decoy / "json.py").write_text("raise SystemExit('decoy')")
    assert told(prefix / "bin" / "pyinit-ctl", cwd=decoy)[1] == str(main)
