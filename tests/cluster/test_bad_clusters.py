"""What goes wrong with a cluster, met by the whole command: one clear sentence, the right exit code, and every object as it was."""

import contextlib
import os
import random
import re
import signal
import time

import psutil
import pytest
import yaml

from runner.mesh.cluster.errors import StatusError
from tests.cluster.shop import (
    DOOR,
    SLOW,
    Place,
    absent,
    connection,
    eventually,
    left_as_found,
    made,
    objects,
    shop,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SEED = 20261124


@pytest.fixture(scope="module")
def admin(kubeconfig):
    """The cluster, as who may do everything."""
    with connection(kubeconfig) as found:
        yield found


@pytest.fixture(scope="module")
def namespace(admin, kubeconfig, tmp_path_factory):
    """The namespace that all these tests share."""
    with shop(kubeconfig, tmp_path_factory.mktemp("state"), {"istio-injection": "enabled"}) as name:
        yield name


@pytest.fixture
def place(admin, namespace, kubeconfig, tmp_path):
    """The namespace as it is for every test, and as it must be after it."""
    with left_as_found(admin, Place(namespace, tmp_path, kubeconfig)) as found:
        yield found


def other_kubeconfig(place, change):
    """The kubeconfig with something else in it."""
    config = yaml.safe_load(place.kubeconfig.read_text())
    change(config)
    path = place.folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    place.environment["KUBECONFIG"] = str(path)


# who and where


def test_nothing_is_wrong_to_begin_with(place):
    code, _, err = place.run()
    assert code == 0, err
    assert "warning" not in err
    assert place.doctor("bad.yaml")[0] == 0


def test_no_kubeconfig(place):
    place.environment["KUBECONFIG"] = str(place.folder / "none")
    told = place.refused(2, r"there is no kubeconfig: KUBECONFIG names .*/none, which is not there")
    del place.environment["KUBECONFIG"]
    place.refused(2, r"there is no kubeconfig: KUBECONFIG is not set and ~/.kube/config is not there")
    code, _, err = place.doctor()
    assert (code, "there is no kubeconfig" in err) == (2, True)
    assert told


def test_a_mistyped_context(place, admin):
    typed = f"{admin.context}x"
    place.refused(2, rf'has no context "{typed}"; expected one of .*Did you mean "{admin.context}"', "--context", typed)
    code, _, err = place.doctor("--context", typed)
    assert (code, f'Did you mean "{admin.context}"' in err) == (2, True)


def test_a_mistyped_namespace(place):
    words = f'has no namespace {place.namespace}x; expected one of .*Did you mean "{place.namespace}"'
    told = place.refused(2, words, namespace=f"{place.namespace}x")
    code, out, err = place.doctor("bad.yaml", namespace=f"{place.namespace}x")
    assert (code, out) == (2, "")
    assert err.strip() == told


def test_a_token_that_is_not_accepted(place, admin):
    other_kubeconfig(place, lambda config: [item.update(user={"token": "nonsense"}) for item in config["users"]])
    place.refused(3, rf"does not accept the credential of the context {admin.context} \(401\). It may have expired")
    code, out, _ = place.doctor()
    assert (code, "does not accept the credential" in out) == (3, True)


def test_a_certificate_that_has_expired(place, rig):
    rig.authority.sign("late", "/O=system:masters/CN=late", days="0")
    rig.authority.kubeconfig("late", rig.server, place.folder / "late")
    place.environment["KUBECONFIG"] = str(place.folder / "late")
    place.refused(3, "does not accept the credential|certificate .* is no good: .*expired")
    assert place.doctor()[0] == 3


READING = [
    {"apiGroups": ["networking.istio.io"], "resources": ["*"], "verbs": ["get", "list"]},
    {"apiGroups": [""], "resources": ["pods", "services", "namespaces", "pods/portforward"], "verbs": ["get", "list"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update", "delete"]},
]


def test_verbs_that_are_forbidden(place, admin):
    root = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{place.namespace}"
    accounts = f"/api/v1/namespaces/{place.namespace}/serviceaccounts"
    binding = {
        "metadata": {"name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": place.namespace}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
    }
    with (
        made(admin, accounts, {"metadata": {"name": "reader"}}),
        made(admin, f"{root}/roles", {"metadata": {"name": "reader"}, "rules": READING}),
        made(admin, f"{root}/rolebindings", binding),
    ):
        token = admin.call("POST", f"{accounts}/reader/token", None, {"spec": {}})["status"]["token"]
        other_kubeconfig(place, lambda config: [item.update(user={"token": token}) for item in config["users"]])
        told = place.refused(3, rf"may not do what this run needs in {place.namespace}: create .*virtualservices")
        assert "Nothing was changed" in told
        code, out, _ = place.doctor()
        assert (code, "no run is possible without" in out) == (3, True)


# what is there


@contextlib.contextmanager
def other_namespace(api, place, **labels):
    """Another namespace for a moment."""
    name = f"{place.namespace}-other"
    api.call("POST", "/api/v1/namespaces", None, {"metadata": {"name": name, "labels": labels}})
    try:
        yield name
    finally:
        api.call("DELETE", f"/api/v1/namespaces/{name}")
        eventually(lambda: absent(api, f"/api/v1/namespaces/{name}"), 120)


def test_a_namespace_without_injection_and_one_in_ambient_mode(place, admin):
    with other_namespace(admin, place) as name:
        pod = {
            "metadata": {"name": "a"},
            "spec": {
                "containers": [{"name": "a", "image": "docker.io/curlimages/curl:8.16.0", "command": ["sleep", "60"]}]
            },
        }
        eventually(lambda: not absent(admin, f"/api/v1/namespaces/{name}/serviceaccounts/default"), 60)
        admin.call("POST", f"/api/v1/namespaces/{name}/pods", None, pod)
        place.refused(3, f"no pod in the namespace {name} has a sidecar.*istio-injection=enabled", namespace=name)
        code, out, _ = place.doctor(namespace=name)
        assert (code, "no injection label, and no pod with a sidecar" in out) == (3, True)
        item = admin.get(f"/api/v1/namespaces/{name}")
        item["metadata"]["labels"]["istio.io/dataplane-mode"] = "ambient"
        admin.call("PUT", f"/api/v1/namespaces/{name}", None, item)
        words = f"the namespace {name} is labelled istio.io/dataplane-mode=ambient: ztunnel and waypoints instead of sidecars"
        place.refused(3, words, namespace=name)
        code, out, _ = place.doctor(namespace=name)
        assert (code, "is in ambient mode" in out) == (3, True)
        assert objects(admin, name) == {}


def test_a_waypoint_among_the_pods(place, admin):
    container = {"name": "istio-proxy", "image": "docker.io/curlimages/curl:8.16.0", "args": ["proxy", "waypoint"]}
    labels = {"sidecar.istio.io/inject": "false", "gateway.networking.k8s.io/gateway-name": "waypoint"}
    pod = {"metadata": {"name": "waypoint", "labels": labels}, "spec": {"containers": [container]}}
    path = f"/api/v1/namespaces/{place.namespace}/pods"
    with made(admin, path, pod):
        place.refused(3, "waypoint is in ambient mode: ztunnel and waypoints instead of sidecars")
        code, out, _ = place.doctor()
        assert (code, "is in ambient mode" in out) == (3, True)
    eventually(lambda: absent(admin, f"{path}/waypoint"), 60)


def test_a_virtual_service_of_somebody_else_for_the_same_host(place, admin):
    path = f"/apis/networking.istio.io/v1/namespaces/{place.namespace}/virtualservices"
    body = yaml.safe_load(SLOW.split("---")[3])
    body["metadata"]["name"] = "theirs"
    with made(admin, path, body):
        theirs = admin.get(f"{path}/theirs")
        told = place.refused(
            2, f"already has VirtualService {place.namespace}/theirs for the host ratings, last written by"
        )
        assert "Give this one the name theirs" in told
        assert re.search(r"slow.yaml:\d+:\d+: ", told)
        assert admin.get(f"{path}/theirs") == theirs
        code, out, _ = place.doctor("bad.yaml")
        assert (code, "theirs configures" in out) == (3, True)


def test_a_gateway_elsewhere_with_the_same_host_and_port(place, admin):
    """Istio makes one of the two, and requests may end in the other namespace: the run says so."""
    with other_namespace(admin, place) as name:
        gateway = yaml.safe_load(DOOR.replace("NAMESPACE", place.namespace).split("---")[0])
        with made(admin, f"/apis/networking.istio.io/v1/namespaces/{name}/gateways", gateway):
            code, _, err = place.run()
            words = f"warning: Gateway {name}/door serves the host {place.namespace}.example at port 8080 of the same gateway pods"
            assert code == 0, err
            assert words in err
            code, out, _ = place.doctor("bad.yaml")
            assert code == 0
            assert f"warning Gateways: Gateway {name}/door serves the host" in out


# who refuses


@contextlib.contextmanager
def policy(api, namespace, expression):
    """A rule of the API server's own that denies what an expression does not allow, from when it is in force."""
    name, root = f"deny-{namespace}", "/apis/admissionregistration.k8s.io/v1/"
    rule = {
        "apiGroups": ["networking.istio.io"],
        "apiVersions": ["*"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["*"],
    }
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [rule],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        },
        "validations": [
            {"expression": f"{expression} || object.metadata.name == 'probe'", "message": "no timeouts on a Friday"},
            {"expression": "object.metadata.name != 'probe'", "message": "probe"},
        ],
    }
    binding = {"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}}
    probe = {
        "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "probe"},
        "spec": {"host": "probe"},
    }  # fmt: skip

    def in_force():
        path = f"/apis/networking.istio.io/v1/namespaces/{namespace}/destinationrules"
        try:
            api.call("POST", path, {"dryRun": "All"}, probe)
        except StatusError as error:
            return "probe" in error.message
        return False

    with (
        made(api, f"{root}validatingadmissionpolicies", {"metadata": {"name": name}, "spec": spec}),
        made(api, f"{root}validatingadmissionpolicybindings", binding),
    ):
        eventually(in_force, 60)
        yield
    eventually(lambda: not in_force(), 60)


PATIENT = "object.kind != 'VirtualService' || object.spec.http.all(r, !has(r.timeout) || r.timeout == '9s')"


def test_a_policy_that_rejects_is_met_by_the_dry_run(place, admin):
    with policy(admin, place.namespace, PATIENT):
        told = place.refused(
            2, r"slow.yaml:\d+:\d+: the API server refuses VirtualService .*door: .*no timeouts on a Friday"
        )
        code, out, _ = place.doctor("bad.yaml")
    assert told
    assert (code, "no timeouts on a Friday" in out) == (3, True)


def test_a_policy_that_rejects_only_what_is_meant(place, admin):
    """As a webhook that does not look at dry runs, or one that is installed meanwhile: of four objects two are written by then."""
    with policy(admin, place.namespace, f"({PATIENT}) || request.dryRun"):
        told = place.refused(
            3, r"slow.yaml:\d+:\d+: the API server refused VirtualService .*door: .*no timeouts on a Friday"
        )
    assert "put back" in told or "the mesh holds what it held before" in told
    (document,) = place.documents()
    assert document["verdict"] == "error"


# what happens meanwhile


def begun(place, process):
    """Wait until the run's journal is there: from then on it changes things."""

    def noted():
        assert place.journals() or process.poll() is None, process.communicate()
        return place.journals()

    eventually(noted, 120)


def measuring(api, place, process):
    """Wait until the variant is on the cluster and load is under way."""

    def applied():
        assert process.poll() is None, process.communicate()
        return ("destinationrules", "ratings") in objects(api, place.namespace)

    eventually(applied, 120)
    begun(place, process)


def ended(process):
    out, err = process.communicate(timeout=300)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def test_an_api_server_that_is_frozen_for_ten_seconds(place, admin, rig):
    process = place.start_run("--duration", "16s")
    measuring(admin, place, process)
    pid = rig.processes.pid("kube-apiserver")
    keeper = psutil.Process(pid).parent()  # nsenter, which stops itself with its child and reaps it at the end
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(10)  # what is tested is the time
    finally:
        for process_id in (pid, keeper.pid):
            os.kill(process_id, signal.SIGCONT)
    code, _, err = ended(process)
    assert "the mesh holds what it held before" in err
    assert code == 0, err


def test_an_api_server_that_restarts(place, admin, rig):
    process = place.start_run("--duration", "16s")
    measuring(admin, place, process)
    rig.processes.stop("kube-apiserver")
    time.sleep(5)  # what is tested is the time
    rig.start_apiserver()
    code, _, err = ended(process)
    assert "the mesh holds what it held before" in err, err
    assert code == 0, err


def test_an_api_server_that_stays_away_until_the_run_gives_up(place, admin, rig):
    process = place.start_run()
    measuring(admin, place, process)
    rig.processes.stop("kube-apiserver")
    try:
        code, _, err = ended(process)
    finally:
        rig.start_apiserver()
    assert code == 3
    (told,) = [line for line in err.splitlines() if line.startswith("meshtrial: ")]
    assert "does not answer" in told
    assert "meshtrial recover" in told
    assert len(place.journals()) == 1
    code, out, err = place.command("recover")
    assert code == 0, err
    assert "put back VirtualService" in out
    eventually(lambda: place.doctor()[0] == 0, 240)  # for the tests that follow: nodes and istiod were cut off too


@pytest.mark.parametrize("what", ["pod", "container"])
def test_a_pod_that_restarts_in_the_middle_of_a_trial(place, admin, rig, what):
    """The trial does not count, and says why; when its successor is ready the block runs once more, and the run goes on."""
    process = place.start_run("--duration", "8s")
    measuring(admin, place, process)
    path = f"/api/v1/namespaces/{place.namespace}/pods"
    (pod,) = admin.get(path, {"labelSelector": "app=ratings"})["items"]
    name = pod["metadata"]["name"]
    if what == "pod":
        admin.call("DELETE", f"{path}/{name}", None, {"gracePeriodSeconds": 0})
        words = f"the pod {name} of ratings-v1 is gone"
    else:
        container = pod["spec"]["containers"][0]["name"]
        rig.kubectl("-n", place.namespace, "exec", name, "-c", container, "--", "/bin/sh", "-c", "kill -INT 1")
        words = f"{container} of {name} was restarted"
    code, _, err = ended(process)
    assert code == 0, err
    assert "block 1 had an invalid trial and runs once more" in err
    (document,) = place.documents()
    first, second = document["variants"][0]["trials"]
    assert "proxy_died" in first["invalid_because"]
    assert any(words in note["detail"] for note in first["notes"]), first["notes"]
    assert second["valid"]
    assert document["restored"].startswith("the mesh holds what it held before, verified on 3 proxies")


@pytest.mark.parametrize("number", range(5))
def test_kill_9_at_a_random_moment(place, admin, number):
    """From the moment on at which the journal is there: some in the middle of the writes, some while load runs, some in the restore."""
    draw = random.Random(f"{SEED} {number}")  # noqa: S311 - moments, not secrets
    before = objects(admin, place.namespace)
    process = place.start_run("--duration", "2s")
    begun(place, process)
    if number < 2:  # in the middle of several writes
        wanted = draw.randint(1, 2)
        eventually(
            lambda: sum(before.get(key) != text for key, text in objects(admin, place.namespace).items()) >= wanted, 30
        )
    else:
        time.sleep(draw.uniform(0, 6))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    code, out, err = place.command("recover")
    assert code == 0, err
    assert objects(admin, place.namespace) == before
    assert out
