"""What all tests share: a state folder of their own, so that no test ever touches a user's mesh or journal."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent))  # for modules that tests of several rooms share


@pytest.fixture(autouse=True, scope="session")
def _own_state(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    yield
    patch.undo()


@pytest.fixture
def own_state(tmp_path, monkeypatch):
    """A state folder for one test alone."""
    home = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def repository():
    """The checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def meshtrial():
    """The command line of `meshtrial`, as a list."""
    return [sys.executable, "-m", "runner.cli.main"]


@pytest.fixture(scope="session")
def fortio():
    """fortio's program: the one on PATH, else one that is kept in the user's cache, built when go is there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meshtrial" / "bin"
    found = shutil.which("fortio") or shutil.which("fortio", path=cache)
    if found is None and (go := shutil.which("go")):
        command = [go, "install", "fortio.org/fortio@v1.68.0"]
        try:
            subprocess.run(
                command, env={**os.environ, "GOBIN": str(cache)}, check=True, capture_output=True, timeout=240
            )
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"fortio could not be built: {error}")
        found = shutil.which("fortio", path=cache)
    if found is None:
        pytest.skip("there is no fortio, and no go to build one with")
    return Path(found)


@pytest.fixture
def queue_server(repository):
    """The URL of a service of known capacity: two workers of 20 ms each: 100/s at the most, less what a sleep overshoots."""
    command = [sys.executable, str(repository / "bench" / "queue_server.py"), "2", "0.02"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.stdin.close()
        process.wait(10)
