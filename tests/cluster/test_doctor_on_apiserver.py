"""The doctor, the shipped Roles and manifests against a real API server."""

import json
import subprocess

import pytest
import yaml

from runner.errors import InputError
from runner.istio.load import parse_manifests
from runner.mesh.cluster.connect import connect
from runner.mesh.cluster.doctor import examine
from runner.mesh.cluster.doctor_checks import check_cluster
from runner.mesh.cluster.doctor_facts import Unknown
from runner.mesh.cluster.doctor_read import read_cluster
from runner.mesh.cluster.kinds import Places
from runner.mesh.cluster.lease import NamespaceLease
from runner.mesh.cluster.permissions import PERMISSIONS, Scope, review
from runner.mesh.cluster.store import Store
from runner.mesh.cluster.touched import ROUTING, TOUCHED_KINDS
from runner.mesh.finding import Demands, Status
from runner.spec.load_profile import GATEWAY
from tests.deploy.manifests import KUSTOMIZE, build

ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: NAME, namespace: clinic}
spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews}}]}]}
"""


@pytest.fixture(scope="module")
def clinic(apiserver):
    """A namespace, and a user for each shipped Role in it."""
    space = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "clinic", "labels": {"istio-injection": "enabled"}},
    }
    system = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}}
    put(apiserver, space, system)
    return apiserver


def put(control, *objects):
    control.kubectl("apply", "-f", "-", data=yaml.safe_dump_all(objects).encode())


@pytest.fixture
def as_user(clinic, monkeypatch, tmp_path):
    """Be a user with nothing but what some Roles give."""

    def become(name, *roles):
        for role in roles:
            bindings = []
            for item in yaml.safe_load_all(role.read_text()):
                if item["kind"].endswith("Binding"):
                    item["subjects"] = [{"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"}]
                    item["metadata"]["name"] += f"-{name}"
                if not item["kind"].startswith("Cluster"):
                    item["metadata"]["namespace"] = "istio-system" if role.parent.name == "istio" else "clinic"
                bindings.append(item)
            put(clinic, *bindings)
        clinic.authority.sign(name, f"/CN={name}")
        path = tmp_path / f"{name}.kubeconfig"
        clinic.authority.kubeconfig(name, clinic.server, path)
        monkeypatch.setenv("KUBECONFIG", str(path))
        return connect(None)

    return become


@pytest.fixture
def admin(clinic, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(clinic.kubeconfig))
    api = connect(None)
    yield api
    api.close()


def only(findings, check):
    found = [item for item in findings if item.check == check]
    assert len(found) == 1, findings
    return found[0]


def test_an_admin_lacks_nothing_and_istio_is_missed(admin):
    found = check_cluster(read_cluster(admin, "clinic", []))
    assert only(found, "API server").status is Status.OK
    assert "v1.34" in only(found, "API server").found
    assert only(found, "clock").status is Status.OK
    assert only(found, "permissions").status is Status.OK
    assert only(found, "Istio's CRDs").status is Status.OK
    assert only(found, "injection").status is Status.OK
    assert only(found, "Istio").status is Status.PROBLEM


def test_a_namespace_that_is_not_there(admin):
    with pytest.raises(InputError, match=r"has no namespace clinik; expected one of .*clinic.*Did you mean"):
        read_cluster(admin, "clinik", [])


def test_nobody_may_do_nothing_and_every_line_says_so(as_user):
    api = as_user("nobody")
    assert {item.permission for item in review(api, "clinic")} == set(PERMISSIONS)
    facts = read_cluster(api, "clinic", [])
    assert isinstance(facts.pods, Unknown)
    assert isinstance(facts.here, Unknown)
    found = check_cluster(facts)
    assert next(item.status for item in found if item.check == "permissions") is Status.PROBLEM
    assert only(found, "Istio").status is Status.SKIPPED
    assert "forbidden" in only(found, "Istio").found


@pytest.mark.parametrize(
    ("name", "folders", "scopes"),
    [
        ("base-user", ["base"], {Scope.EXPERIMENT}),
        ("istio-user", ["base", "istio"], {Scope.EXPERIMENT, Scope.ISTIO}),
        ("app-user", ["base", "components/app"], {Scope.EXPERIMENT, Scope.APP}),
        ("reader-user", ["base", "components/cluster-reader"], {Scope.EXPERIMENT, Scope.CLUSTER}),
    ],
)
def test_each_shipped_role_gives_its_scope_and_no_other(as_user, name, folders, scopes):
    api = as_user(name, *(KUSTOMIZE / folder / "role.yaml" for folder in folders))
    missing = {item.permission.scope for item in review(api, "clinic")}
    given = {item.scope for item in PERMISSIONS if item.scope not in missing}
    assert scopes <= given
    # what the cluster-wide reader may list anywhere, it may list here too
    assert all(item in scopes or item is Scope.ISTIO for item in given)


def test_the_shipped_role_alone_is_enough_to_change_and_give_back_a_namespace(as_user):
    api = as_user("runner-user", KUSTOMIZE / "base" / "role.yaml")
    store = Store(api, Places(api), "clinic")
    with NamespaceLease(api, "clinic").held("a test"):
        before = store.read()
        fresh = parse_manifests(ROUTE.replace("NAME", "mine"), "mine.yaml")
        assert store.try_out(fresh) == []
        store.change(fresh, [])
        assert fresh[0].key in {item.key for item in store.read()}
        changed = parse_manifests(
            ROUTE.replace("NAME", "mine").replace("spec: {", "spec: {gateways: [mesh], "), "mine.yaml"
        )
        store.change(changed, [])
        store.change([], [fresh[0].key])
        assert [item.canonical() for item in store.read()] == [item.canonical() for item in before]
    assert store.hidden == set(TOUCHED_KINDS) - {*ROUTING, "Service"}


def test_the_shipped_role_does_not_reach_into_another_namespace(as_user):
    api = as_user("narrow-user", KUSTOMIZE / "base" / "role.yaml")
    missing = {(item.permission.scope, item.permission.resource): item for item in review(api, "kube-system")}
    assert missing[Scope.EXPERIMENT, "virtualservices"].verbs == ("get", "list", "create", "update", "delete")


def test_what_an_experiment_meets_on_the_server(admin, clinic):
    put(clinic, yaml.safe_load(ROUTE.replace("NAME", "legacy")))
    try:
        bad = parse_manifests(ROUTE.replace("NAME", "bad"), "bad.yaml")[0]
        bad.body["spec"]["http"][0]["timeout"] = "0.3ns"
        good = parse_manifests(ROUTE.replace("NAME", "good"), "good.yaml")[0]
        newer = parse_manifests(ROUTE.replace("NAME", "newer"), "newer.yaml")[0]
        newer.body["spec"]["http"][0]["inventedLater"] = True
        demands = Demands("rollout", (good, newer, bad), sources=frozenset({GATEWAY}))
        found = [item for item in examine(None, "clinic", [demands]) if item.area == "rollout"]
    finally:
        clinic.kubectl("-n", "clinic", "delete", "virtualservice", "legacy")
    conflicts = [item for item in found if item.check == "VirtualServices"]
    assert len(conflicts) == 3
    assert all("VirtualService clinic/legacy" in item.found for item in conflicts)
    refused = [item for item in found if item.check == "dry run"]
    assert {item.status for item in refused} == {Status.PROBLEM}
    assert any("inventedLater" in item.found and "too old" in item.fix for item in refused)
    assert any("bad.yaml" in item.found for item in refused)
    assert only(found, "gateway").status is Status.PROBLEM
    left = json.loads(clinic.kubectl("-n", "clinic", "get", "virtualservices", "-o", "json"))["items"]
    assert left == []


def test_a_pod_without_sidecar_and_a_gateway_that_is_there(admin, clinic):
    put(clinic, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "clinic"}})
    put(
        clinic,
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "istio-system"}},
    )
    app = {"containers": [{"name": "app", "image": "app"}]}
    proxy = {"containers": [{"name": "istio-proxy", "image": "proxy", "args": ["proxy", "router"]}]}
    bare = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare", "namespace": "clinic"}, "spec": app}
    gateway = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "gw", "namespace": "istio-system", "labels": {"istio": "ingressgateway"}},
        "spec": proxy,
    }
    put(clinic, bare, gateway)
    ready = json.dumps({"status": {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}})
    for space, name in (("clinic", "bare"), ("istio-system", "gw")):
        clinic.kubectl("-n", space, "patch", "pod", name, "--subresource=status", "--type=merge", "-p", ready)
    try:
        found = examine(None, "clinic", [Demands("rollout", sources=frozenset({GATEWAY}))])
    finally:
        for space, name in (("clinic", "bare"), ("istio-system", "gw")):
            clinic.kubectl("-n", space, "delete", "pod", name, "--force", "--grace-period=0")
    assert "without a sidecar: bare" in only(found, "sidecars").found
    assert only(found, "gateway").status is Status.OK


@pytest.mark.parametrize("folder", ["base", "istio", "overlays/example", "overlays/nightly"])
def test_the_server_takes_every_shipped_manifest(clinic, folder):
    objects = build(KUSTOMIZE / folder)
    spaces = sorted(
        {item["metadata"]["namespace"] for item in objects if "namespace" in item["metadata"]} - {"istio-system"}
    )
    put(
        clinic,
        *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}} for space in spaces or ["default"]),
    )
    said = clinic.kubectl(
        *("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"),
        data=yaml.safe_dump_all(objects).encode(),
    )
    assert str(said).count("serverside-applied") == len(objects)


def test_an_expired_certificate_and_a_server_that_is_away(clinic, monkeypatch, tmp_path):
    clinic.authority.sign("late", "/CN=late", days="0")
    path = tmp_path / "late.kubeconfig"
    clinic.authority.kubeconfig("late", clinic.server, path)
    monkeypatch.setenv("KUBECONFIG", str(path))
    found = examine(None, "clinic")
    assert [item.status for item in found] == [Status.PROBLEM]
    assert "credential" in found[0].found or "certificate" in found[0].found


def test_no_kubeconfig_is_bad_input(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(InputError, match="there is no kubeconfig"):
        examine(None, "clinic")


def test_the_command_itself(clinic, tmp_path):
    done = subprocess.run(
        ["meshtrial", "doctor", "--mesh", "cluster", "--namespace", "clinic", "--json"],  # noqa: S607 - the venv's
        env={"PATH": str(path_of_venv()), "KUBECONFIG": str(clinic.kubeconfig), "XDG_STATE_HOME": str(tmp_path)},
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert done.returncode == 3, done.stderr
    found = json.loads(done.stdout)
    assert {
        "area": "cluster",
        "check": "permissions",
        "status": "ok",
        "found": "everything that a run may need",
        "fix": None,
    } in found


def path_of_venv():
    import sys  # noqa: PLC0415 - here alone
    from pathlib import Path  # noqa: PLC0415 - the same

    return Path(sys.executable).parent
