"""Going on after a death: what died is asked for until it would have been told, and what is still missing is told."""

import time

import pytest

from runner.conduct import mending
from runner.conduct.mending import died_during, mended
from runner.errors import MeshError
from runner.mesh.base import MeshDescription
from runner.results.window import Second, Window


class Mesh:
    """A mesh that tells of a death at the look with some number."""

    def __init__(self, kind="cluster", at=1, mend=True):
        self.kind, self.at, self.end = kind, at, mend
        self.looks = 0

    def describe(self):
        return MeshDescription(self.kind, "here")

    def deaths(self):
        self.looks += 1
        return ["a is gone"] if self.looks >= self.at else []

    def mend(self):
        if isinstance(self.end, str):
            raise MeshError(self.end)
        return self.end


def window(status="200", ended=0.0):
    seconds = [Second(offset) for offset in range(5)]
    seconds[4].cell("/", status).unanswered += 1
    return Window(seconds, length=5.0, open_loop=True, scheduled=1, started=ended - 5, ended=ended, generator_cpu=0.1)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(mending, "_POLL", 0.0)


@pytest.mark.parametrize("status", ["0", "503"])
def test_requests_that_nobody_answered_are_asked_about_until_kubernetes_would_have_told(status):
    assert died_during(Mesh(at=3), window(status, time.time() + 60)) == ["a is gone"]


@pytest.mark.parametrize(
    ("kind", "status", "ago"), [("cluster", "200", 0), ("cluster", "503", 600), ("local", "503", 0), ("none", "0", 0)]
)
def test_otherwise_one_look_is_enough(kind, status, ago):
    mesh = Mesh(kind, at=2)
    assert died_during(mesh, window(status, time.time() - ago + 60 * (not ago))) == []
    assert mesh.looks == 1


def test_what_is_missing_is_told_beside_what_died():
    mended(Mesh(), ["a is gone"], "during v1, block 1")
    with pytest.raises(MeshError, match=r"^a is gone during v1, block 1\. What was measured"):
        mended(Mesh(mend=False), ["a is gone"], "during v1, block 1")
    with pytest.raises(MeshError, match=r"^a is gone during v1, block 1; no pod\. What was measured"):
        mended(Mesh(mend="no pod"), ["a is gone"], "during v1, block 1")
