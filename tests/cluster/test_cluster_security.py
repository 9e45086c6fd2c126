"""Istio's kinds beyond routing on a real cluster: applied, confirmed on the proxies, told from typos, and given back to the byte."""

import json
import time

import pytest

from runner.conduct.journal import Journal, MeshAddress
from runner.conduct.recover import undo_in, unfinished
from runner.errors import InputError, MeshError
from runner.istio.load import merge, parse_manifests
from runner.istio.resource import ResourceKey
from runner.mesh.cluster.connect import connect
from runner.mesh.cluster.mesh import ClusterMesh
from runner.mesh.cluster.objects import stripped
from runner.mesh.cluster.policies import port_modes, rule_numbers
from runner.mesh.cluster.touched import CONFIG_KINDS
from runner.spec.mesh import ClusterTarget
from tests.cluster.shop import held_mesh, part_of_bookinfo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KEPT = {"client", "reviews-v1", "ratings-v1", "reviews", "ratings"}
SERVERS = ("reviews-v1", "ratings-v1")

ALLOW_NOTHING = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow-nothing}
spec: {}
"""

REVIEWS_VIEWER = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: reviews-viewer}
spec:
  selector: {matchLabels: {app: reviews}}
  rules:
  - to: [{operation: {methods: [GET]}}]
  - when: [{key: "request.headers[x-try]", values: ["1"]}]
"""

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
"""

RATINGS_PLAIN = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: ratings}
spec: {selector: {matchLabels: {app: ratings}}, mtls: {mode: DISABLE}}
"""

MESH_WIDE = STRICT.replace("name: default", "name: default, namespace: istio-system")

OTHERS = {
    "ServiceEntry": """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: elsewhere}
spec:
  hosts: [elsewhere.example.com]
  resolution: STATIC
  ports: [{number: 9999, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: elsewhere}
spec:
  hosts: [elsewhere.example.com]
  http: [{route: [{destination: {host: elsewhere.example.com, port: {number: 9999}}}], timeout: 1s}]
""",
    "Telemetry": """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: logs}
spec: {accessLogging: [{providers: [{name: envoy}], disabled: true}]}
""",
    "EnvoyFilter": """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: headers}
spec:
  workloadSelector: {labels: {app: reviews}}
  configPatches:
  - applyTo: NETWORK_FILTER
    match: {context: SIDECAR_INBOUND, listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}}
    patch:
      operation: MERGE
      value:
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          common_http_protocol_options: {max_headers_count: 77}
""",
    "Sidecar": """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default}
spec: {egress: [{hosts: ["./ratings.NAMESPACE.svc.cluster.local"]}]}
""",
    "RequestAuthentication": """
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens}
spec:
  selector: {matchLabels: {app: reviews}}
  jwtRules:
  - issuer: testing@secure.example
    jwks: '{"keys": [{"kty": "oct", "kid": "a", "alg": "HS256", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTMyLS0"}]}'
""",
    "tls": """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ratings}
spec: {host: ratings, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}, connectionPool: {tcp: {maxConnections: 9}}}}
""",
}

SHOWN_BY = {
    "ServiceEntry": {"client", *SERVERS},
    "Telemetry": {"client", *SERVERS},
    "EnvoyFilter": {"reviews-v1"},
    "Sidecar": {"client", *SERVERS},
    "RequestAuthentication": {"reviews-v1"},
    "tls": {"client", *SERVERS},
}
"""Sidecars whose config must be another with it."""


@pytest.fixture(scope="module")
def namespace(kubeconfig):
    """A namespace with a bit of Bookinfo in it, deployed by the mesh itself; it goes as a whole."""
    with part_of_bookinfo(kubeconfig, KEPT) as name:
        yield name


@pytest.fixture
def mesh(namespace, kubeconfig, tmp_path):
    with held_mesh(kubeconfig, namespace, tmp_path) as found:
        yield found


@pytest.fixture
def read(mesh):
    def parse(text, file="test.yaml"):
        text = text.replace("NAMESPACE", mesh.namespace)
        return parse_manifests(text, file, namespace=mesh.namespace, embedded=False)

    return parse


def _raw(mesh):
    """Every object of Istio's in the namespace and of the whole mesh, without what the server sets."""
    found = {}
    for kind in CONFIG_KINDS:
        for namespace in (mesh.namespace, "istio-system"):
            for item in mesh.api.get(mesh.store.places.need(kind).path(namespace))["items"]:
                found[kind, namespace, item["metadata"]["name"]] = json.dumps(stripped(item), sort_keys=True)
    return found


def _dumps(mesh):
    mesh.versions()
    return mesh._confirmer.last


def _tried(mesh, put):
    """What mesh holds before, once a change was tried and announced."""
    mesh.reach([item.key for item in put])
    snapshot = mesh.applied()
    mesh.check(merge(snapshot, put))
    return snapshot


def test_it_says_which_istio(mesh):
    description = mesh.describe()
    assert description.istio.count(".") == 2
    assert description.revisions == ["default"]


def test_authorization_policies_are_confirmed_and_given_back(mesh, read):
    put = read(ALLOW_NOTHING + "---" + REVIEWS_VIEWER)
    before, versions, snapshot = _raw(mesh), mesh.versions(), _tried(mesh, put)
    nothing, viewer = (item.key for item in put)
    held = mesh.apply(put)
    dumps = _dumps(mesh)
    assert mesh.versions() == held
    assert all(held[name] != versions[name] for name in ("client", *SERVERS))
    assert {name: rule_numbers(dumps[name], nothing) for name in SERVERS} == {name: {0} for name in SERVERS}
    assert rule_numbers(dumps["reviews-v1"], viewer) == {0, 1}
    assert rule_numbers(dumps["ratings-v1"], viewer) == set()
    shorter = read(REVIEWS_VIEWER.rpartition("  - when")[0])
    mesh.apply(shorter)
    assert rule_numbers(_dumps(mesh)["reviews-v1"], viewer) == {0}
    assert mesh.restore(snapshot) == versions
    assert all(not rule_numbers(dump, key) for dump in _dumps(mesh).values() for key in (nothing, viewer))
    assert _raw(mesh) == before


@pytest.mark.parametrize("policy", [STRICT, MESH_WIDE], ids=["of the namespace", "of the mesh"])
def test_peer_authentication_is_confirmed_and_given_back(mesh, read, policy):
    put = read(policy)
    before, versions, snapshot = _raw(mesh), mesh.versions(), _tried(mesh, put)
    mesh.apply(put)
    dumps = _dumps(mesh)
    assert {name: port_modes(dumps[name])[9080] for name in SERVERS} == dict.fromkeys(SERVERS, "STRICT")
    own = read(RATINGS_PLAIN)
    mesh.check(merge(mesh.applied(), own))
    mesh.apply(own)
    assert port_modes(_dumps(mesh)["ratings-v1"])[9080] == "DISABLE"
    assert mesh.restore(snapshot) == versions
    dumps = _dumps(mesh)
    assert {name: port_modes(dumps[name])[9080] for name in SERVERS} == dict.fromkeys(SERVERS, "PERMISSIVE")
    assert _raw(mesh) == before


def test_a_policy_that_makes_no_difference_is_told_from_one_that_has_not_arrived(mesh, read):
    put = read(STRICT.replace("STRICT", "PERMISSIVE"))
    versions, snapshot = mesh.versions(), _tried(mesh, put)
    assert mesh.apply(put) == versions
    assert mesh.restore(snapshot) == versions


@pytest.mark.parametrize("kind", OTHERS)
def test_any_other_kind_is_confirmed_and_given_back(mesh, read, kind):
    put = read(OTHERS[kind])
    before, versions, snapshot = _raw(mesh), mesh.versions(), _tried(mesh, put)
    held = mesh.apply(put)
    assert mesh.versions() == held
    assert {name for name in held if held[name] != versions[name]} >= SHOWN_BY[kind]
    assert mesh.restore(snapshot) == versions
    assert _raw(mesh) == before


def test_an_unknown_field_is_refused_at_its_place(mesh, read):
    text = OTHERS["Telemetry"].replace("accessLogging:", "acessLogging:")
    with pytest.raises(InputError) as error:
        mesh.check([*mesh.applied(), *read(text, "logs.yaml")])
    said = f'logs.yaml:5:8: the API server refuses Telemetry {mesh.namespace}/logs: unknown field "spec.acessLogging"'
    assert str(error.value).startswith(said)


def test_a_value_of_a_wrong_type_is_refused_at_its_place(mesh, read):
    text = OTHERS["ServiceEntry"].partition("---")[0].replace("number: 9999", "number: web")
    with pytest.raises(
        InputError, match=r"^entry.yaml:8:20: the API server refuses ServiceEntry .*spec.ports\[0\].number"
    ):
        mesh.check([*mesh.applied(), *read(text, "entry.yaml")])


def test_a_value_that_the_schema_refuses_is_told_at_its_place(mesh, read):
    text = OTHERS["RequestAuthentication"].replace("issuer: testing@secure.example", "issuer: ''")
    with pytest.raises(InputError, match=r"tokens.yaml:8:13: the API server refuses RequestAuthentication .*issuer"):
        mesh.check([*mesh.applied(), *read(text, "tokens.yaml")])


def test_other_namespaces_and_kinds_without_effect_are_refused(mesh, read):
    text = ALLOW_NOTHING.replace("name: allow-nothing", "name: allow-nothing, namespace: default")
    text += (
        "---\napiVersion: networking.istio.io/v1beta1\nkind: ProxyConfig\nmetadata: {name: a}\nspec: {concurrency: 1}\n"
    )
    with pytest.raises(InputError) as error:
        mesh.check([*mesh.applied(), *read(text, "a.yaml")])
    elsewhere, effectless = map(str, error.value.problems)
    assert elsewhere.startswith("a.yaml:4:44: AuthorizationPolicy default/allow-nothing is in another namespace")
    assert effectless.startswith("a.yaml:8:7: a run can't try out ProxyConfig: proxies read it when their pods start")


def test_the_whole_meshs_config_is_changed_by_one_run_at_a_time(mesh, read, namespace):
    put = read(MESH_WIDE)
    mesh.reach([put[0].key])
    lease = mesh.api.get("/apis/coordination.k8s.io/v1/namespaces/istio-system/leases/meshtrial")
    assert lease["metadata"]["annotations"]["meshtrial.dev/holder"] == "a test"
    second = ClusterMesh(connect(None), namespace)
    second._holder = "another"
    try:
        with pytest.raises(MeshError, match="the namespace istio-system is in use"):
            second.reach([put[0].key])
    finally:
        second.close()


def test_what_a_dead_run_left_in_the_root_namespace_is_recovered(mesh, read, tmp_path):
    put = read(MESH_WIDE)
    before, snapshot = _raw(mesh), _tried(mesh, put)
    home = tmp_path / "journal"
    journal = Journal.begin(home, MeshAddress("cluster", mesh.describe().identity), snapshot, tmp_path)
    journal.intend(put, ())
    mesh.apply(put)
    journal.abandon()
    (record,) = unfinished(home)
    late = ClusterMesh.reopen(record.mesh.identity)
    try:
        assert put[0].key not in {item.key for item in late.applied()}
        done = undo_in(late, record)
    finally:
        late.close()
    assert done.deleted == (ResourceKey("PeerAuthentication", "istio-system", "default"),)
    assert _raw(mesh) == before


def test_a_change_of_istiods_own_to_an_object_does_not_hinder_the_restore(mesh, read):
    """Istiod writes addresses into a ServiceEntry's status, by which its resourceVersion changes."""
    text = OTHERS["ServiceEntry"].partition("---")[0]
    put = read(
        text.replace("resolution: STATIC", "resolution: DNS").replace("address: 127.0.0.1", "address: localhost")
    )
    before, snapshot = _raw(mesh), _tried(mesh, put)
    mesh.apply(put)
    path = mesh.store.places.need("ServiceEntry").path(mesh.namespace, "elsewhere")
    deadline = time.monotonic() + 60
    while not (mesh.api.get(path).get("status") or {}).get("addresses"):
        assert time.monotonic() < deadline
    mesh.restore(snapshot)
    assert _raw(mesh) == before


def test_an_app_with_parts_in_other_namespaces_is_not_deployed(mesh):
    with pytest.raises(InputError, match=r"the app httpbin-legacy is not in .*: parts of it belong into legacy"):
        ClusterMesh.open(ClusterTarget(namespace=mesh.namespace, app="httpbin-legacy"))


def test_an_identity_that_no_pod_has_is_told(mesh, read):
    text = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ratings-viewer}
spec:
  selector: {matchLabels: {app: ratings}}
  rules: [{from: [{source: {principals: [cluster.local/ns/NAMESPACE/sa/ACCOUNT, cluster.local/ns/istio-system/sa/any]}}]}]
"""
    (wait,) = mesh.check(merge(mesh.applied(), read(text.replace("ACCOUNT", "bookinfo-reviews"))))
    assert wait.startswith("after a change of AuthorizationPolicy, connections that were open before are served by the")
    told, _ = mesh.check(merge(mesh.applied(), read(text.replace("ACCOUNT", "bookinfo-review"), "p.yaml")))
    assert f'p.yaml:7:42: no workload has the identity "cluster.local/ns/{mesh.namespace}/sa/bookinfo-review"' in told
    assert "Did you mean" in told
