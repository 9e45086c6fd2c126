"""A mesh serves run after run as long as it is sound and needed, and is closed otherwise."""

from dataclasses import dataclass, field

import pytest

from runner.conduct import meshes as module
from runner.conduct.meshes import Meshes
from runner.errors import MeshError
from runner.mesh.base import MeshDescription
from runner.mesh.kinds import MeshKind
from runner.spec.mesh import LocalMesh

BOOKINFO, HTTPBIN = LocalMesh(app="bookinfo"), LocalMesh(app="httpbin")


@dataclass
class Opened:
    """What the house sees of a mesh; starting real ones is what the tests under e2e do."""

    app: str
    joined: bool = False
    dead: list = field(default_factory=list)
    ended: str = ""

    def describe(self):
        return MeshDescription(kind="local", identity=self.app, joined=self.joined)

    def deaths(self):
        return self.dead

    def close(self):
        self.ended = "closed"

    def leave_running(self):
        self.ended = "left"


@pytest.fixture
def opened(monkeypatch):
    """Every mesh that was opened, with whether a fresh one was asked for."""
    found = []

    def open_mesh(choice, fresh, stop):
        if choice.app == "broken":
            raise MeshError("no port is free")
        found.append((Opened(choice.app), fresh))
        return found[-1][0]

    kind = MeshKind(open_mesh, lambda _choice: None, lambda _identity: None)
    monkeypatch.setattr(module, "mesh_kind", lambda _choice: kind)
    return found


def one_run(meshes, choice, later=(), *, sound=True, failed=False):
    meshes.later = later
    mesh = meshes.open(choice)
    with meshes.lend(mesh) as loan:
        loan.sound, loan.failed = sound, failed
    return mesh, loan


def test_a_mesh_that_a_later_run_needs_is_used_again(opened):
    with Meshes() as meshes:
        first, loan = one_run(meshes, BOOKINFO, [HTTPBIN, LocalMesh(app="bookinfo")])
        assert not loan.again
        other, _ = one_run(meshes, HTTPBIN, [BOOKINFO])
        assert (first.ended, other.ended) == ("", "closed")
        again, loan = one_run(meshes, BOOKINFO)
        assert again is first
        assert loan.again
        assert first.ended == "closed"
    assert len(opened) == 2


@pytest.mark.parametrize("wrong", ["not restored", "a proxy died"])
def test_a_mesh_that_is_not_as_it_was_is_not_used_again(opened, wrong):
    with Meshes() as meshes:
        first, _ = one_run(meshes, BOOKINFO, [BOOKINFO], sound=wrong != "not restored")
        if wrong == "a proxy died":
            assert first.ended == ""
            first.dead.append("reviews-v1 proxy ended with signal SIGKILL")
        second, loan = one_run(meshes, BOOKINFO)
        assert second is not first
        assert not loan.again
        assert first.ended == second.ended == "closed"


def test_an_error_in_the_middle_of_a_run_closes_its_mesh(opened):
    meshes = Meshes(later=[BOOKINFO])
    mesh = meshes.open(BOOKINFO)
    with pytest.raises(MeshError, match="died"), meshes.lend(mesh):
        raise MeshError("the proxy died")
    assert mesh.ended == "closed"


def test_a_mesh_left_up_after_a_failure_is_not_joined_by_the_next_run(opened):
    with Meshes(keep=True) as meshes:
        first, loan = one_run(meshes, BOOKINFO, [BOOKINFO], failed=True)
        assert loan.kept
        assert first.ended == "left"
        second, loan = one_run(meshes, BOOKINFO)
        assert second.ended == "closed"
        assert not loan.kept
    assert [fresh for _, fresh in opened] == [False, True]


def test_a_joined_mesh_is_given_back_and_never_left_up(opened):
    with Meshes(keep=True) as meshes:
        mesh = meshes.open(BOOKINFO)
        mesh.joined = True
        with meshes.lend(mesh) as loan:
            loan.failed = True
        assert mesh.ended == "closed"
        assert not loan.kept


def test_whatever_is_kept_is_closed_at_the_end_and_a_mesh_that_did_not_start_is_not_kept(opened):
    with Meshes() as meshes:
        kept, _ = one_run(meshes, BOOKINFO, [BOOKINFO, BOOKINFO])
        with pytest.raises(MeshError, match="no port"):
            meshes.open(LocalMesh(app="broken"))
        assert kept.ended == ""
    assert kept.ended == "closed"
