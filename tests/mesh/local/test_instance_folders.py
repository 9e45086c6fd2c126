"""The folders of embedded meshes: which mesh is whose, what a cut-off start leaves, what an apply that broke off leaves."""

import fcntl
import os

import pytest

from runner.errors import MeshError, StorageError
from runner.istio.load import parse_manifests
from runner.mesh.local import delivery, launch
from runner.mesh.local.appfile import find_app
from runner.mesh.local.instance import living_instances, standing_instance
from runner.mesh.local.mesh import LocalMesh
from runner.mesh.local.xds import push
from runner.state import meshes_home, state_home

ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: [httpbin]
  http: [{timeout: 3s, route: [{destination: {host: httpbin}}]}]
"""


@pytest.fixture
def httpbin(own_state):
    mesh = LocalMesh.start("httpbin")
    yield mesh
    mesh.close()


def test_what_a_cut_off_start_left_is_removed_but_not_what_is_in_use(own_state):
    wreck, busy, new = (meshes_home() / name for name in ("wreck", "busy", "new"))
    for folder in (wreck, busy, new):
        folder.mkdir(parents=True)
        (folder / "client").mkdir()
    for folder in (wreck, busy):
        (folder / "use.lock").touch()
    descriptor = os.open(busy / "use.lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        assert living_instances() == []
        assert not wreck.exists()
        assert busy.exists()
        assert new.exists(), "somebody may be about to lock it"
    finally:
        os.close(descriptor)


def test_a_mesh_that_is_let_go_outlives_its_owner_and_is_found_by_its_app_file(httpbin):
    owner = httpbin._launched.owner
    assert standing_instance() is None, "it belongs to this command"
    httpbin.leave_running()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(owner)
    assert standing_instance(find_app("bookinfo")) is None
    found = LocalMesh.join("httpbin")
    try:
        assert found.describe().joined
        assert len(found.versions()) == len(found.describe().proxies)
    finally:
        found.leave_running()
        launch.end(found.instance)
    assert living_instances() == []


def test_an_apply_that_breaks_off_is_undone_on_every_proxy(httpbin, monkeypatch):
    before, held = httpbin.applied(), httpbin.versions()
    route = parse_manifests(ROUTE, "route.yaml")

    def fails_once(client, *arguments):
        if client.pod.name == "client":
            monkeypatch.setattr(delivery, "push", push)
            raise MeshError("client did not take its config")
        return push(client, *arguments)

    monkeypatch.setattr(delivery, "push", fails_once)
    with pytest.raises(MeshError, match="client did not take its config"):
        httpbin.apply(route)
    assert httpbin.applied() == before
    assert httpbin.versions() != held, "some proxies hold the new config"
    httpbin.restore(before)
    assert httpbin.versions() == held


def test_a_folder_that_can_not_be_written_is_told_and_nothing_is_lost(httpbin, monkeypatch):
    before, held = httpbin.applied(), httpbin.versions()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(delivery, "push", full)
        with pytest.raises(StorageError, match=r"can't be written: No space left on device. Free space"):
            httpbin.apply(parse_manifests(ROUTE, "route.yaml"))
    httpbin.restore(before)
    assert (httpbin.applied(), httpbin.versions()) == (before, held)


def test_a_user_without_a_home_folder_is_told_what_to_set(monkeypatch):
    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: {}[0])
    with pytest.raises(StorageError, match=r"no home folder. Set XDG_STATE_HOME"):
        state_home()
