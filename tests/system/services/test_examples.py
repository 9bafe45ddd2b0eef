"""The examples of services, as their scripts start them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyinit.spec.services_file import load_services
from pyinit_ctl.blocking import BlockingClient
from tests.support.containers import Host
from tests.support.ctl import START, environment
from tests.support.roots import application_root
from tests.support.supervised import Supervised

EXAMPLES = Path(__file__).parents[3] / "examples"
NAMES = ("gunicorn-redis", "flask-postgres")
URL = "http://localhost:8000/"


@pytest.mark.parametrize("name", NAMES)
def test_files_have_no_faults(name: str) -> None:
    assert load_services(EXAMPLES / name / "services.toml")


@pytest.fixture
def path_with_ctl(tmp_path: Path) -> str:
    """A PATH with a pyinit-ctl of this tree."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "pyinit-ctl"
    program.write_text(f"#!{sys.executable}\n{START}\n")
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def start(host: Host, name: str, path: str) -> Supervised:
    host.made.append(name)
    env = {**environment(host.run_dir), "PATH": path}
    script = [str(EXAMPLES / name / "run.sh"), name, str(application_root())]
    subprocess.run(script, env=env, check=True, stdout=subprocess.DEVNULL)
    client = BlockingClient(str(host.run_dir / name / "control.sock"))
    found = Supervised(host, name, client)
    found.until_state("web", "running")
    return found


def get(container: Supervised, *words: str) -> str:
    return container.output("curl", "--silent", "--fail", "--max-time", "30", *words, URL)


@pytest.mark.root
@pytest.mark.package("mmdebstrap")
@pytest.mark.slow
def test_gunicorn_and_redis(host: Host, path_with_ctl: str) -> None:
    container = start(host, "gunicorn-redis", path_with_ctl)
    assert [get(container), get(container)] == ["visitor 1\n", "visitor 2\n"]
    host.ok("signal", container.name, "web", "KILL")
    assert get(container) == "visitor 3\n"
    host.ok("restart", container.name, "redis")
    container.until_state("web", "running")
    assert get(container) == "visitor 1\n"
    host.ok("stop", container.name)


@pytest.mark.root
@pytest.mark.package("mmdebstrap")
@pytest.mark.slow
def test_flask_and_postgresql(host: Host, path_with_ctl: str) -> None:
    container = start(host, "flask-postgres", path_with_ctl)
    assert container.states() == {
        "database": "running",
        "migrate": "completed",
        "web": "running",
    }
    assert get(container, "--data", "first") == "noted\n"
    assert get(container) == "first\n"
    host.ok("stop", container.name)
    assert "database system is shut down" in "\n".join(container.log("database"))
