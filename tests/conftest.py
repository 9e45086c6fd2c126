"""What all tests share: a state folder of their own, so that no test ever touches a user's mesh or journal."""

import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


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
