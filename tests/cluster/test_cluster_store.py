"""A namespace of a real API server: replaced whole, given back to the byte, and never over a change of somebody else."""

import contextlib
import copy
import json
import os
import threading
import time

import pytest
import yaml

from runner.conduct.journal import Journal, MeshAddress, undo, unfinished
from runner.errors import ConfigRejectedError, InputError, MeshError
from runner.istio.load import parse_manifests
from runner.mesh.base import ChangedError
from runner.mesh.cluster import api as api_module
from runner.mesh.cluster.check import Checker
from runner.mesh.cluster.connect import connect
from runner.mesh.cluster.errors import AwayError, CredentialError, StatusError
from runner.mesh.cluster.inventory import refuse_unusable
from runner.mesh.cluster.kinds import Places
from runner.mesh.cluster.lease import NAME, NamespaceLease
from runner.mesh.cluster.objects import stripped
from runner.mesh.cluster.peers import peer_policies
from runner.mesh.cluster.store import Store
from tests.cluster.shop import connection, new_namespace, store_of

APP = """
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
"""

ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
  labels: {team: books, app.kubernetes.io/part-of: bookinfo}
  annotations: {note: "kept: to the byte ✓", example.org/empty: ""}
spec:
  hosts: [reviews]
  http:
  - route: [{destination: {host: reviews, subset: v1}}]
    timeout: 2.5s
"""

VARIANT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - fault: {delay: {percentage: {value: 12.5}, fixedDelay: 2s}}
    route: [{destination: {host: reviews, subset: v2}}]
"""


@pytest.fixture
def api(apiserver):
    with connection(apiserver.kubeconfig) as found:
        yield found


@pytest.fixture
def connected(apiserver, tmp_path, monkeypatch):
    """Connects with a changed kubeconfig; closed afterwards."""
    opened = []

    def connect_with(change):
        config = yaml.safe_load(apiserver.kubeconfig.read_text())
        change(config)
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        monkeypatch.setenv("KUBECONFIG", str(path))
        opened.append(connect(None))
        return opened[-1]

    yield connect_with
    for one in opened:
        one.close()


@pytest.fixture
def namespace(api):
    return new_namespace(api)


@pytest.fixture
def read(namespace):
    def parse(text, file="test.yaml"):
        return parse_manifests(text, file, namespace=namespace)

    return parse


@pytest.fixture
def store(api, namespace):
    return store_of(api, namespace)


@pytest.fixture
def raw(api, namespace):
    """What the server has under a kind's plural and a name."""

    def get(name="reviews", plural="virtualservices"):
        return api.get(f"/apis/networking.istio.io/v1/namespaces/{namespace}/{plural}/{name}")

    return get


def _edit(api, item, **spec):
    item = copy.deepcopy(item)
    item["spec"]["http"][0] |= spec
    path = f"/apis/networking.istio.io/v1/namespaces/{item['metadata']['namespace']}/virtualservices/reviews"
    return api.call("PUT", path, {"fieldManager": "kubectl-edit"}, item)


def test_a_variant_replaces_the_whole_object_and_the_restore_brings_back_every_byte(api, namespace, store, read, raw):
    store.change(read(APP + "---" + ROUTE), [])
    item = raw()
    item["metadata"]["finalizers"] = ["example.org/keep"]
    item["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "1-2"}]
    api.call("PUT", f"/apis/networking.istio.io/v1/namespaces/{namespace}/virtualservices/reviews", None, item)
    before = stripped(raw())
    snapshot = store.read()
    store.change(read(VARIANT), [])
    during = raw()
    assert "labels" not in during["metadata"]
    assert during["spec"] == read(VARIANT)[0].spec
    store.change([item for item in snapshot if item.key.kind == "VirtualService"], [])
    assert stripped(raw()) == before
    assert {item.key: item.canonical() for item in store.read()} == {item.key: item.canonical() for item in snapshot}


def test_what_was_written_is_what_is_read_back_also_by_another_process(api, namespace, store, read):
    put = read(APP + "---" + ROUTE)
    store.change(put, [])
    for seen in (store.read(), store_of(api, namespace).read()):
        held = {item.key: item.canonical() for item in seen}
        assert {item.key: held.get(item.key) for item in put} == {item.key: item.canonical() for item in put}


def test_a_change_of_somebody_else_is_left_alone_and_told(api, store, read, raw):
    store.change(read(APP + "---" + ROUTE), [])
    _edit(api, raw(), timeout="7s")
    with pytest.raises(MeshError, match=r"reviews was changed by somebody else \(kubectl-edit at 20"):
        store.change(read(VARIANT), [])
    assert raw()["spec"]["http"][0]["timeout"] == "7s"
    with pytest.raises(MeshError, match="changed by somebody else"):
        store.change([], [item.key for item in read(ROUTE)])
    assert raw()["spec"]["http"][0]["timeout"] == "7s"


def test_an_object_that_appears_is_left_alone(api, namespace, store, read):
    store_of(api, namespace).change(read(ROUTE), [])
    with pytest.raises(MeshError, match="changed by somebody else"):
        store.change(read(VARIANT), [])


def test_a_controllers_status_is_no_reason_to_stop(api, namespace, store, read, raw):
    store.change(read(APP + "---" + ROUTE), [])
    item = raw()
    item["status"] = {"observedGeneration": "1"}
    path = f"/apis/networking.istio.io/v1/namespaces/{namespace}/virtualservices/reviews/status"
    after = api.call("PUT", path, None, item)
    assert after["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]
    store.change(read(VARIANT), [])
    assert raw()["spec"] == read(VARIANT)[0].spec


def test_a_plan_that_breaks_off_leaves_nothing_behind(api, store, read, raw):
    store.change(read(APP + "---" + ROUTE), [])
    before = stripped(raw())
    bad = read(VARIANT)
    extra = read(VARIANT.replace("name: reviews}", "name: zz-last}"))
    extra[0].body["spec"]["http"][0]["no-such-field"] = 1
    with pytest.raises(ConfigRejectedError, match=r"unknown field .*no-such-field.*Everything was put back"):
        store.change([*bad, *extra], [])
    assert stripped(raw()) == before


def test_giving_back_leaves_only_what_somebody_changed(api, namespace, store, read, raw):
    """The change is made after the last look: only the write itself can find it."""
    store.change(read(APP + "---" + ROUTE), [])
    snapshot = {item.key.kind: item for item in store.read()}
    rules = read(APP)[1]
    rules.body["spec"]["subsets"] = rules.body["spec"]["subsets"][:1]
    extra = read(VARIANT.replace("name: reviews}", "name: zz-last}"))
    store.change([*read(VARIANT), rules, *extra], [])
    _edit(api, raw(), timeout="7s")
    back = [snapshot["VirtualService"], snapshot["DestinationRule"]]
    written, failure = store.give_back(back, [item.key for item in extra])
    assert [held.resource.canonical() for held in written] == [back[1].canonical()]
    assert isinstance(failure, ChangedError)
    words = f"Not put back: VirtualService {namespace}/reviews; everything else was"
    assert "reviews was changed by somebody else (kubectl-edit at 20" in str(failure)
    assert words in str(failure)
    assert raw()["spec"]["http"][0]["timeout"] == "7s"
    assert [item.key.name for item in store.read()] == ["reviews"] * 3


def test_giving_back_what_the_server_refuses_keeps_nothing_else_back(store, read, raw):
    store.change(read(APP + "---" + ROUTE), [])
    snapshot = store.read()
    store.change([*read(VARIANT), *read(VARIANT.replace("name: reviews}", "name: aa-first}"))], [])
    bad = read(VARIANT.replace("name: reviews}", "name: aa-first}"))[0]
    bad.body["spec"]["http"][0]["no-such-field"] = 1
    _, failure = store.give_back([bad, *snapshot], [])
    assert not isinstance(failure, ChangedError)
    assert "the API server refused VirtualService" in str(failure)
    assert raw()["spec"] == read(ROUTE)[0].spec


def test_a_dead_runs_journal_brings_everything_back(api, namespace, store, read, raw, tmp_path):
    store.change(read(APP + "---" + ROUTE), [])
    before = stripped(raw())
    snapshot = store.read()
    variant = [*read(VARIANT), *read(APP.replace("name: reviews", "name: added", 1))]
    journal = Journal.begin(tmp_path, MeshAddress("cluster", "x"), snapshot, tmp_path)
    journal.intend(variant, [])
    store.change(variant, [])
    journal.abandon()
    (record,) = unfinished(tmp_path)
    later = store_of(api, namespace)
    work = undo(record, later.read())
    assert work.foreign == []
    assert {key.kind for key in work.delete} == {"Service"}
    later.change(work.put, work.delete)
    assert stripped(raw()) == before
    assert {item.key: item.canonical() for item in store_of(api, namespace).read()} == {
        item.key: item.canonical() for item in snapshot
    }


def test_what_autoscalers_do_meanwhile_is_theirs(api, namespace, store):
    deployment = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
        "spec": {
            "selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}},
        },
    }  # fmt: skip
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    api.call("POST", path, None, deployment)
    before = {item.key: item.canonical() for item in store.read()}
    item = api.get(f"{path}/a")
    item["spec"]["replicas"] = 5
    api.call("PUT", f"{path}/a", None, item)
    assert {item.key: item.canonical() for item in store.read()} == before


def test_the_dry_run_finds_what_the_server_refuses_and_touches_nothing(store, read):
    checker = Checker(store, [])
    state = read(APP + "---" + ROUTE, "route.yaml")
    assert checker.check(state) == []
    state[-1].body["spec"]["http"][0]["timeoutt"] = "1s"
    with pytest.raises(InputError, match=r"route.yaml:21:5: the API server refuses VirtualService .*timeoutt"):
        checker.check(state)
    assert [item.key.kind for item in store.read()] == []


def _refusal(checker, state):
    try:
        checker.check(state)
    except InputError as error:
        return str(error)
    return ""


def test_a_policy_that_denies_is_found_before_anything_is_touched(api, store, read, namespace):
    name = f"no-faults-{namespace}"
    root = "/apis/admissionregistration.k8s.io/v1/"
    rule = {
        "apiGroups": ["networking.istio.io"],
        "apiVersions": ["*"],
        "operations": ["*"],
        "resources": ["virtualservices"],
    }
    policy = {
        "kind": "ValidatingAdmissionPolicy", "apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [rule],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            },
            "validations": [{"expression": "!object.spec.http.exists(r, has(r.fault))", "message": "no faults here"}],
        },
    }  # fmt: skip
    binding = {
        "kind": "ValidatingAdmissionPolicyBinding", "apiVersion": "admissionregistration.k8s.io/v1",
        "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]},
    }  # fmt: skip
    store.change(read(APP), [])
    api.call("POST", root + "validatingadmissionpolicies", None, policy)
    api.call("POST", root + "validatingadmissionpolicybindings", None, binding)
    checker = Checker(store, [])
    state = [*store.read(), *read(VARIANT, "variant.yaml")]
    deadline = time.monotonic() + 30
    try:
        while not _refusal(checker, state):  # the API server compiles a new policy in its own time
            assert time.monotonic() < deadline
        assert "variant.yaml" in _refusal(checker, state)
        assert "no faults here" in _refusal(checker, state)
    finally:
        api.call("DELETE", f"{root}validatingadmissionpolicybindings/{name}")
        api.call("DELETE", f"{root}validatingadmissionpolicies/{name}")
    assert [item.key.kind for item in store.read()] == ["Service", "DestinationRule"]


def test_a_resource_of_another_namespace_is_refused(store):
    state = parse_manifests(ROUTE, "route.yaml", namespace="elsewhere")
    with pytest.raises(InputError, match="is in another namespace than this run's"):
        Checker(store, []).check(state)


def test_a_virtual_service_of_somebody_else_for_the_same_host_is_named(api, store, read, namespace):
    store.change(read(APP + "---" + ROUTE.replace("name: reviews", "name: theirs", 1)), [])
    state = [*store.read(), *read(VARIANT, "variant.yaml")]
    with pytest.raises(
        InputError, match=r"already has VirtualService .*theirs for the host reviews, last written by meshtrial"
    ):
        Checker(store, []).check(state)
    store.change([], [item.key for item in store.read() if item.key.name == "theirs"])
    other = f"{namespace}b"
    api.call("POST", "/api/v1/namespaces", None, {"kind": "Namespace", "metadata": {"name": other}})
    text = ROUTE.replace("name: reviews", "name: far", 1).replace(
        "[reviews]", f"[reviews.{namespace}.svc.cluster.local]"
    )
    far = Store(api, Places(api), other)
    far.change(parse_manifests(text, "far.yaml", namespace=other), [])
    try:
        with pytest.raises(InputError, match=f"already has VirtualService {other}/far"):
            Checker(store, []).check([*store.read(), *read(VARIANT)])
    finally:
        far.change([], [item.key for item in far.read()])


def _token(api, namespace, rules):
    """The token of a service account with a Role of these rules alone."""
    root = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    api.call("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", None, {"metadata": {"name": "runner"}})
    api.call("POST", f"{root}/roles", None, {"metadata": {"name": "runner"}, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": "runner", "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "runner"}
    api.call(
        "POST",
        f"{root}/rolebindings",
        None,
        {"metadata": {"name": "runner"}, "subjects": [subject], "roleRef": reference},
    )
    answer = api.call("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/runner/token", None, {"spec": {}})
    return answer["status"]["token"]


def _with_token(token):
    return lambda config: config["users"][0].update(user={"token": token})


READING = [
    {"apiGroups": ["networking.istio.io", "security.istio.io"], "resources": ["*"], "verbs": ["get", "list"]},
    {"apiGroups": [""], "resources": ["services", "serviceaccounts"], "verbs": ["list"]},
]


def test_permissions_that_are_missing_are_told_before_anything_is_touched(api, namespace, read, store, connected):
    store.change(read(APP + "---" + ROUTE), [])
    reader = connected(_with_token(_token(api, namespace, READING)))
    limited = store_of(reader, namespace)
    assert limited.hidden == {"Deployment", "Telemetry", "WasmPlugin"}
    with pytest.raises(
        MeshError, match=r"may not do what this run needs.*create virtualservices; update virtualservices"
    ):
        Checker(limited, []).check([*limited.read(), *read(VARIANT)][-1:])
    with pytest.raises(MeshError, match=r"reviews could not be changed: .*cannot update.*Nothing was changed"):
        limited.change(read(VARIANT), [])


def test_without_leases_a_lock_of_this_machine_must_do(api, namespace, connected):
    reader = connected(_with_token(_token(api, namespace, READING)))
    with (
        NamespaceLease(reader, namespace).held("one"),
        pytest.raises(MeshError, match="in use by another meshtrial command on this machine"),
        NamespaceLease(reader, namespace).held("two"),
    ):
        pass


def test_a_lease_keeps_others_out_and_says_who_has_it(api, namespace, tmp_path, monkeypatch):
    with NamespaceLease(api, namespace).held("meshtrial run demo"):
        lease = api.get(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{NAME}")
        assert lease["spec"]["holderIdentity"].endswith(f"/{os.getpid()}")
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))  # as on another machine
        other = NamespaceLease(api, namespace)
        with pytest.raises(MeshError, match=r"in use by meshtrial run demo \(.*runs out at"), other.held("me"):
            pass
    with pytest.raises(StatusError, match="not found"):
        api.get(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{NAME}")


@pytest.mark.parametrize("dead", ["this machine", "elsewhere"])
def test_a_dead_holders_lease_is_taken_over(api, namespace, dead):
    lease = NamespaceLease(api, namespace)
    body = lease._body("meshtrial run dead")
    if dead == "this machine":
        body["spec"]["holderIdentity"] = body["spec"]["holderIdentity"].partition("/")[0] + "/4194304"
    else:
        body["spec"] |= {"holderIdentity": "elsewhere/1", "renewTime": "2026-01-01T00:00:00.000000Z"}
    api.call("POST", f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", None, body)
    with lease.held("recover"):
        now = api.get(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{NAME}")
        assert now["spec"]["holderIdentity"].endswith(f"/{os.getpid()}")


@pytest.fixture
def lease_of_a_pod(api, namespace):
    """Puts a living Lease there whose holder noted its pod; the pod's status is what is given, or there is none."""

    def make(phase, seconds):
        uid = "gone"
        if phase:
            api.call("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", None, {"metadata": {"name": "default"}})
            pod = {"metadata": {"name": "job-x"}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
            pod = api.call("POST", f"/api/v1/namespaces/{namespace}/pods", None, pod)
            uid = pod["metadata"]["uid"]
            pod["status"]["phase"] = phase
            api.call("PUT", f"/api/v1/namespaces/{namespace}/pods/job-x/status", None, pod)
        lease = NamespaceLease(api, namespace)
        lease._pod = f"{namespace}/job-x/{uid}"
        body = lease._body("meshtrial run demo")
        body["spec"] |= {"holderIdentity": "job-x/1", "leaseDurationSeconds": seconds}
        api.call("POST", f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", None, body)
        return NamespaceLease(api, namespace), time.monotonic()

    return make


def test_a_holder_whose_pod_runs_keeps_others_out(lease_of_a_pod):
    lease, _ = lease_of_a_pod("Running", 60)
    with pytest.raises(MeshError, match=r"in use by meshtrial run demo \(job-x/1\)"), lease.held("another"):
        pass


def test_a_holder_whose_pod_has_ended_keeps_nobody_waiting(lease_of_a_pod):
    lease, begun = lease_of_a_pod("Failed", 600)
    with lease.held("another"):
        assert lease.inherited
        assert time.monotonic() - begun < 300


def test_a_holder_whose_pod_was_deleted_is_waited_for(lease_of_a_pod):
    """Its container may still be at work: only when its Lease has run out is it certain that it is not."""
    lease, begun = lease_of_a_pod("", 3)
    with lease.held("another"):
        assert lease.inherited
        assert time.monotonic() - begun > 2


def test_a_token_that_is_not_accepted_is_told(connected):
    with pytest.raises(CredentialError, match=r"does not accept the credential of the context .*\(401\)"):
        connected(_with_token("nonsense")).get("/api/v1/namespaces")


def test_an_expired_certificate_is_told(apiserver, tmp_path, monkeypatch, connected):
    apiserver.authority.sign("late", "/O=system:masters/CN=late", days="0")
    apiserver.authority.kubeconfig("late", apiserver.server, tmp_path / "late")
    late = yaml.safe_load((tmp_path / "late").read_text())
    with pytest.raises(CredentialError, match="It may have expired: log in again"):
        connected(lambda config: config.update(late)).get("/api/v1/namespaces")


def test_a_server_whose_certificate_is_not_trusted_is_told(connected):
    def distrust(config):
        del config["clusters"][0]["cluster"]["certificate-authority-data"]

    with pytest.raises(CredentialError, match=r"is no good: .*certificate verify failed"):
        connected(distrust).get("/version")


def test_a_missing_namespace_is_told_with_the_nearest_name(api, namespace):
    store = Store(api, Places(api), namespace)
    with pytest.raises(InputError, match=f'has no namespace {namespace}x.*Did you mean "{namespace}"'):
        refuse_unusable(api, store, f"{namespace}x")


def test_ambient_mode_is_refused(api, namespace, store):
    item = api.get(f"/api/v1/namespaces/{namespace}")
    item["metadata"]["labels"]["istio.io/dataplane-mode"] = "ambient"
    api.call("PUT", f"/api/v1/namespaces/{namespace}", None, item)
    with pytest.raises(MeshError, match=r"istio\.io/dataplane-mode=ambient: ztunnel and waypoints instead of sidecars"):
        refuse_unusable(api, store, namespace)


def test_a_kind_without_its_definition_is_told(api):
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/wasmplugins.extensions.istio.io"
    definition = api.get(path)
    api.call("DELETE", path)
    try:
        deadline = time.monotonic() + 30
        while Places(api).find("WasmPlugin") is not None:
            assert time.monotonic() < deadline
        with pytest.raises(MeshError, match="does not know the kind WasmPlugin: it has no CustomResourceDefinition"):
            Places(api).need("WasmPlugin")
    finally:
        body = {"apiVersion": definition["apiVersion"], "kind": definition["kind"], "spec": definition["spec"]}
        body["metadata"] = {"name": definition["metadata"]["name"]}
        deadline = time.monotonic() + 30
        while True:
            try:
                api.call("POST", path.rpartition("/")[0], None, body)
                break
            except StatusError:
                assert time.monotonic() < deadline


def test_a_server_that_is_away_for_a_moment_is_waited_for(apiserver, api, store, read, raw):
    store.change(read(APP + "---" + ROUTE), [])
    apiserver.processes.stop("kube-apiserver")
    back = threading.Thread(target=apiserver.start_apiserver)
    back.start()
    try:
        store.change(read(VARIANT), [])
    finally:
        back.join()
    assert raw()["spec"] == read(VARIANT)[0].spec


def test_a_server_that_stays_away_is_told(apiserver, api, store, read, monkeypatch):
    monkeypatch.setattr(api_module, "PATIENCE", 0.5)
    apiserver.processes.stop("kube-apiserver")
    try:
        with pytest.raises(
            AwayError, match=r"the API server at https://127.0.0.1:\d+ \(context .*\) does not answer: .*refused"
        ):
            api.get("/version")
    finally:
        apiserver.start_apiserver()
    assert json.loads(json.dumps(api.get("/version")))["major"]


MESH_WIDE = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: NAME, namespace: istio-system}
spec: {mtls: {mode: PERMISSIVE}}
"""


@pytest.fixture
def root(api):
    """Istio's root namespace."""
    with contextlib.suppress(StatusError):
        api.call("POST", "/api/v1/namespaces", None, {"kind": "Namespace", "metadata": {"name": "istio-system"}})


@pytest.mark.usefixtures("root")
def test_objects_of_the_root_namespace_are_looked_at_by_name_only(api, read, store, raw):
    mine, other = read(MESH_WIDE.replace("NAME", "mine"))[0], read(MESH_WIDE.replace("NAME", "other"))[0]
    store.change([other], [])
    try:
        assert store.read() == []
        assert store.reach([mine.key]) is True
        before = store.read()
        assert before == []
        store.change([mine], [])
        assert [item.canonical() for item in store.read()] == [mine.canonical()]
        changed = read(MESH_WIDE.replace("NAME", "mine").replace("PERMISSIVE", "STRICT"))
        Checker(store, []).check(changed)
        store.change(changed, [])
        store.change([], [mine.key])
        assert store.read() == before
        names = api.get("/apis/security.istio.io/v1/namespaces/istio-system/peerauthentications")["items"]
        assert [item["metadata"]["name"] for item in names] == ["other"]
    finally:
        cleaner = store_of(api, "istio-system")
        cleaner.change([], [other.key])


@pytest.mark.usefixtures("root")
def test_the_right_to_change_the_root_namespace_is_asked_for(api, namespace, read, connected):
    limited = store_of(connected(_with_token(_token(api, namespace, READING))), namespace)
    mine = read(MESH_WIDE.replace("NAME", "mine"))
    limited.reach([mine[0].key])
    with pytest.raises(MeshError, match=r"cannot get resource .peerauthentications.* in the namespace .istio-system"):
        limited.read()
    with pytest.raises(MeshError, match=r"what this run needs in istio-system: create peerauthentications; update"):
        Checker(limited, []).check(mine)


def test_without_istiod_a_kind_that_shows_nothing_by_itself_is_refused(store, read):
    text = "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: logs}\n"
    with pytest.raises(MeshError, match=r"proxies do not show by themselves whether they hold Telemetry .*no istiod"):
        Checker(store, [], "there is no istiod").check(
            parse_manifests(text, "t.yaml", namespace=store.namespace, embedded=False)
        )


def test_peer_authentications_that_count_are_known_by_their_age(api, store, read):
    first = parse_manifests(
        MESH_WIDE.replace(", namespace: istio-system", "").replace("NAME", "b"), "b.yaml", namespace=store.namespace
    )
    store.change(first, [])
    store.read()
    assert [namespace for namespace, _ in peer_policies(store)] == [store.namespace]
    store.hidden.add("PeerAuthentication")
    assert peer_policies(store) is None
