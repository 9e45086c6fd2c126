"""Somebody else changes objects while a run has them applied: theirs stays, ours goes, the run ends, and both it and `recover` say so."""

import signal
import time

import pytest

from tests.cluster.shop import Place, connection, eventually, left_as_found, objects, shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROUTE, OURS, DOOR = "virtualservices", ("virtualservices", "ratings"), ("virtualservices", "door")


@pytest.fixture(scope="module")
def admin(kubeconfig):
    with connection(kubeconfig) as found:
        yield found


@pytest.fixture(scope="module")
def namespace(admin, kubeconfig, tmp_path_factory):
    with shop(kubeconfig, tmp_path_factory.mktemp("state"), {"istio-injection": "enabled"}) as name:
        yield name


@pytest.fixture
def place(admin, namespace, kubeconfig, tmp_path):
    """The namespace as it is for every test; each leaves it so."""
    with left_as_found(admin, Place(namespace, tmp_path, kubeconfig)) as found:
        yield found


@pytest.fixture
def route(admin, namespace):
    """Does something to a VirtualService as a colleague would: `edit`, `label`, `delete`, `post`."""
    return Colleague(admin, f"/apis/networking.istio.io/v1/namespaces/{namespace}/{ROUTE}")


class Colleague:
    def __init__(self, api, path):
        self.api, self.path = api, path

    def _put(self, item):
        name = item["metadata"]["name"]
        self.api.call("PUT", f"{self.path}/{name}", {"fieldManager": "kubectl-edit"}, item)

    def get(self, name):
        return self.api.get(f"{self.path}/{name}")

    def edit(self, name):
        item = self.get(name)
        item["spec"]["http"][0]["timeout"] = "7s"
        self._put(item)

    def label(self, name, value="blue"):
        item = self.get(name)
        labels = item["metadata"].setdefault("labels", {})
        labels["shift"] = value
        if not value:
            del labels["shift"]
        self._put(item)

    def delete(self, name):
        self.api.call("DELETE", f"{self.path}/{name}")

    def post(self, item):
        metadata = {name: item["metadata"][name] for name in ("name", "labels", "annotations")}
        self.api.call("POST", self.path, None, {**item, "metadata": metadata})


def under_load(admin, place, *, duration="7s"):
    """A run that has its variant applied and confirmed, and drives load."""
    process = place.start_run("--duration", duration)

    def applied():
        assert process.poll() is None, process.communicate()
        return OURS in objects(admin, place.namespace) and place.journals()

    eventually(applied, 120)
    time.sleep(4)  # proxies have it by then
    assert process.poll() is None, process.communicate()
    return process


def ended(process):
    _, err = process.communicate(timeout=300)
    assert "Traceback" not in err, err
    told = [line for line in err.splitlines() if line.startswith("meshtrial: ")]
    return process.returncode, told[0] if told else "", err


def test_an_edit_stays_and_all_else_is_put_back_in_the_same_run(place, admin, route):
    before = objects(admin, place.namespace)
    process = under_load(admin, place)
    route.edit("ratings")
    code, told, err = ended(process)
    name = f"VirtualService {place.namespace}/ratings"
    assert code == 3, err
    assert f"{name} was changed by somebody else (kubectl-edit at 20" in told
    assert "the mesh holds what it held before, but: " in told
    assert f"{name} was left as somebody else changed it, and may still say some of what the run wrote" in told
    assert "put it back or delete it (kubectl), then run `meshtrial recover`" in told
    assert "Everything was put back" not in err
    now = objects(admin, place.namespace)
    assert now.pop(OURS)
    assert now == before
    assert route.get("ratings")["spec"]["http"][0]["timeout"] == "7s"
    for command in (("recover",), ("run", "bad.yaml", "--mesh", "cluster", "--namespace", place.namespace)):
        code, out, err = place.command(*command)
        assert code == 3, err
        assert f"left alone, because changed by somebody since: {name}" in out + err
        assert f"{name} was changed by somebody else (kubectl-edit at 20" in err
        assert f"rm {place.journals()[0]}" in err
        assert OURS in objects(admin, place.namespace)
    route.delete("ratings")
    code, out, err = place.command("recover")
    assert (code, "the mesh was already as before" in out) == (0, True), err


def test_a_label_does_not_make_a_fault_theirs(place, admin, route):
    before = route.get("door")
    process = under_load(admin, place)
    route.label("ratings")
    route.label("door")
    code, _, err = ended(process)
    assert code == 0, err
    kept = f"VirtualService {place.namespace}/door: put back, with the metadata that somebody changed meanwhile"
    lost = f"VirtualService {place.namespace}/ratings: removed, and with it the metadata that somebody had changed"
    assert f"warning: {kept}" in " ".join(err.split())
    assert f"warning: {lost}" in " ".join(err.split())
    assert OURS not in objects(admin, place.namespace)
    now = route.get("door")
    assert now["spec"] == before["spec"]
    assert now["metadata"]["labels"] == {**before["metadata"]["labels"], "shift": "blue"}
    assert now["metadata"]["annotations"] == before["metadata"]["annotations"]
    route.label("door", "")


def test_what_was_deleted_is_not_made_again(place, admin, route):
    process = under_load(admin, place)
    route.delete("ratings")
    code, told, err = ended(process)
    assert code == 3, err
    assert f"VirtualService {place.namespace}/ratings was deleted by somebody else while this run had it" in told
    assert "the mesh holds what it held before, verified on" in told
    assert "runs once more" not in err
    assert OURS not in objects(admin, place.namespace)


def test_what_was_there_before_and_was_deleted_stays_deleted(place, admin, route):
    before, door = objects(admin, place.namespace), route.get("door")
    process = under_load(admin, place)
    route.delete("door")
    code, told, err = ended(process)
    assert code == 3, err
    assert f"VirtualService {place.namespace}/door was deleted by somebody else while this run had it" in told
    assert "was there before the run, somebody else deleted it, and it was left deleted: apply it again" in told
    assert objects(admin, place.namespace) == {key: text for key, text in before.items() if key != DOOR}
    assert place.journals() == []
    route.post(door)


def test_what_a_controller_puts_back_ends_the_run(place, admin, route):
    """As Argo CD does with an object of Git's: the variant is gone, so what is measured is not the variant."""
    before = route.get("door")
    process = under_load(admin, place)
    item = route.get("door")
    item["spec"] = before["spec"]
    for name in ("labels", "annotations"):
        item["metadata"][name] = before["metadata"][name]
    route._put(item)
    code, told, err = ended(process)
    assert code == 3, err
    assert f"VirtualService {place.namespace}/door was put back by somebody else (kubectl-edit at 20" in told
    assert "the mesh holds what it held before, verified on" in told


def test_recover_after_kill_9_and_changes_of_others(place, admin, route):
    before, door = objects(admin, place.namespace), route.get("door")
    process = under_load(admin, place)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    route.label("ratings")
    route.delete("door")
    code, out, err = place.command("recover")
    assert code == 0, err
    assert f"VirtualService {place.namespace}/ratings: removed, and with it the metadata that somebody" in out
    assert f"VirtualService {place.namespace}/door was there before the run, somebody else deleted it" in out
    assert objects(admin, place.namespace) == {key: text for key, text in before.items() if key != DOOR}
    route.post(door)
