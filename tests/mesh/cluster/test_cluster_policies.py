"""Security policies in a proxy's config as istiod 1.31 writes them, and which changes are confirmed by them."""

import json

import pytest

from runner.istio.load import parse_manifests
from runner.istio.peer_authentication import PeerAuthentication
from runner.istio.resource import ResourceKey
from runner.mesh.cluster.dump import parse_dump
from runner.mesh.cluster.expect import State, lacking
from runner.mesh.cluster.pods import Pod
from runner.mesh.cluster.policies import issuers, port_modes, rule_numbers
from runner.mesh.cluster.reach import selected
from runner.mesh.cluster.traces import slice_of

VIEWER = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: viewer}
spec: {selector: {matchLabels: {app: reviews}}, rules: [{to: [{operation: {methods: [GET]}}]}, {}]}
"""
NOTHING = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nothing}
spec: {}
"""
STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
"""
TOKENS = """
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens}
spec: {jwtRules: [{issuer: a@b}, {issuer: c@d}]}
"""


def pod(name="reviews-v1", namespace="shop", *, gateway=False, **labels):
    return Pod(
        name,
        namespace,
        name,
        labels or {"app": name.partition("-")[0]},
        proxied=True,
        gateway=gateway,
        ready=True,
        restarts={},
    )


def rbac(*rules, action="ALLOW", part="rules"):
    policies = {rule: {"permissions": [{"any": True}]} for rule in rules}
    return {"name": "envoy.filters.http.rbac", "typed_config": {part: {"action": action, "policies": policies}}}


def jwt(*names):
    providers = {f"origins-{number}": {"issuer": name} for number, name in enumerate(names)}
    return {"name": "envoy.filters.http.jwt_authn", "typed_config": {"providers": providers}}


def chain(name="0.0.0.0_9080", filters=(), *, tls=False, port=9080):
    manager = {"http_filters": [*filters, {"name": "envoy.filters.http.router"}], "route_config": {"name": "x"}}
    return {
        "name": name,
        "filter_chain_match": {"transport_protocol": "tls" if tls else "raw_buffer"}
        | ({"destination_port": port} if port else {}),
        **({"transport_socket": {"name": "envoy.transport_sockets.tls"}} if tls else {}),
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
    }


def dump(*chains, name="virtualInbound", clusters=()):
    listener = {"name": name, "filter_chains": list(chains)}
    parts = [
        {
            "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
            "dynamic_listeners": [{"name": name, "active_state": {"listener": listener}}],
        },
        {
            "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
            "dynamic_active_clusters": [{"cluster": cluster} for cluster in clusters],
        },
    ]
    return parse_dump(json.dumps({"configs": parts}))


def read(text, namespace="shop"):
    return parse_manifests(text, "f.yaml", namespace=namespace, embedded=False)


def missing(held, where, put=(), deleted=(), peers=None):
    return lacking(held, where, State.of(list(put), {}, peers), list(put), list(deleted))


def test_rules_are_known_by_the_policy_that_they_came_from():
    viewer, nothing = ResourceKey("AuthorizationPolicy", "shop", "viewer"), ResourceKey("AuthorizationPolicy", "a", "n")
    held = dump(
        chain(
            filters=[
                rbac("ns[shop]-policy[viewer]-rule[0]", "ns[shop]-policy[viewer]-rule[1]", "ns[a]-policy[n]-rule[0]")
            ]
        )
    )
    assert rule_numbers(held, viewer) == {0, 1}
    assert rule_numbers(held, nothing) == {0}
    tried = dump(chain(filters=[rbac("istio-ext-authz-p-ns[shop]-policy[viewer]-rule[3]", part="shadow_rules")]))
    assert rule_numbers(tried, viewer) == {3}
    assert rule_numbers(dump(chain()), viewer) == set()


def test_a_policy_is_confirmed_by_its_rules_where_it_selects():
    put = read(VIEWER)
    both = ("ns[shop]-policy[viewer]-rule[0]", "ns[shop]-policy[viewer]-rule[1]")
    assert missing(dump(chain(filters=[rbac(*both)])), pod(), put) is None
    assert missing(dump(chain(filters=[rbac(both[0])])), pod(), put).endswith("no rule 1 of it yet")
    assert missing(dump(chain()), pod(), put).endswith("no rule 0 of it yet")
    assert missing(dump(chain()), pod("ratings-v1"), put) is None
    more = dump(chain(filters=[rbac(*both, "ns[shop]-policy[viewer]-rule[2]")]))
    assert missing(more, pod(), put).endswith("still has rule 2 of an earlier version")
    gone = [put[0].key]
    assert "still has what AuthorizationPolicy shop/viewer made" in missing(more, pod(), deleted=gone)
    assert missing(dump(chain()), pod(), deleted=gone) is None


def test_a_policy_without_rules_has_one_that_matches_nothing():
    put = read(NOTHING)
    assert missing(dump(chain(filters=[rbac("ns[shop]-policy[nothing]-rule[0]")])), pod(), put) is None
    assert missing(dump(chain()), pod(), put).endswith("no rule 0 of it yet")


def test_a_policy_of_the_whole_mesh_is_for_gateways_too():
    put = read(NOTHING, "istio-system")
    door = pod("gateway", "istio-system", gateway=True)
    held = dump(chain(), name="0.0.0.0_8080")
    assert missing(held, door, put).endswith("no rule 0 of it yet")
    assert missing(held, door, read(NOTHING)) is None


@pytest.mark.parametrize(
    ("chains", "mode"),
    [
        ([chain(tls=True)], "STRICT"),
        ([chain(tls=True), chain()], "PERMISSIVE"),
        ([chain()], "DISABLE"),
    ],
)
def test_the_mode_of_a_port_is_what_its_chains_take(chains, mode):
    blackhole = chain("virtualInbound-blackhole", port=15006)
    assert port_modes(dump(blackhole, *chains, chain("virtualInbound", port=0))) == {9080: mode}


def test_peer_authentication_is_confirmed_by_the_modes_of_ports():
    (policy,) = put = read(STRICT)
    peers = [("shop", PeerAuthentication.model_validate(policy.spec))]
    strict, both = dump(chain(tls=True)), dump(chain(tls=True), chain())
    assert missing(strict, pod(), put, peers=peers) is None
    assert missing(both, pod(), put, peers=peers) == "port 9080 is PERMISSIVE instead of STRICT"
    assert missing(strict, pod(), deleted=[policy.key], peers=[]) == "port 9080 is STRICT instead of PERMISSIVE"
    assert missing(both, pod(), deleted=[policy.key], peers=[]) is None
    assert missing(both, pod(), put, peers=None) is None  # not all that count are known: istiod has to tell
    assert missing(both, pod("elsewhere", "other"), put, peers=peers) is None
    assert missing(dump(chain(), name="0.0.0.0_8080"), pod("door", gateway=True), put, peers=peers) is None


def test_request_authentication_is_confirmed_by_its_issuers():
    put = read(TOKENS)
    assert issuers(dump(chain(filters=[jwt("a@b", "c@d")]))) == {"a@b", "c@d"}
    assert missing(dump(chain(filters=[jwt("a@b", "c@d")])), pod(), put) is None
    assert missing(dump(chain(filters=[jwt("a@b")])), pod(), put).endswith("does not look at tokens of c@d yet")


@pytest.mark.parametrize(
    ("text", "where", "is_meant"),
    [
        ("kind: Telemetry\nmetadata: {name: a}", pod(), True),
        ("kind: Telemetry\nmetadata: {name: a}", pod("x", "other"), False),
        ("kind: Telemetry\nmetadata: {name: a, namespace: istio-system}", pod(), True),
        ("kind: Telemetry\nmetadata: {name: a}\nspec: {selector: {matchLabels: {app: b}}}", pod(), False),
        ("kind: Telemetry\nmetadata: {name: a}\nspec: {selector: {matchLabels: {app: reviews}}}", pod(), True),
        ("kind: Telemetry\nmetadata: {name: a}\nspec: {targetRefs: [{kind: Gateway, name: g}]}", pod(), False),
    ],
)
def test_a_resource_is_for_the_pods_that_it_selects(text, where, is_meant):
    (resource,) = read(f"apiVersion: telemetry.istio.io/v1\n{text}\n")
    assert selected(resource, where) is is_meant


def test_sidecars_and_filters_select_by_their_own_words():
    sidecar = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: a}\n"
    text = f"{sidecar}spec: {{workloadSelector: {{labels: {{app: reviews}}}}}}\n"
    assert selected(*read(text), pod())
    assert not selected(*read(text), pod("ratings"))
    assert not selected(*read(sidecar), pod(gateway=True))
    rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\n"
    text = f"{rule}spec: {{host: b, workloadSelector: {{matchLabels: {{app: reviews}}}}}}\n"
    assert selected(*read(text), pod())
    assert not selected(*read(text), pod("ratings"))


def test_the_part_of_each_kind_changes_with_it():
    (viewer,), (strict,), (tokens,) = read(VIEWER), read(STRICT), read(TOKENS)
    (entry,) = read(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\nspec: {hosts: ['*.example.com']}\n"
    )
    (logs,) = read("apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: a}\n")
    plain = dump(chain())
    assert slice_of(plain, viewer) == slice_of(plain, tokens) == slice_of(plain, entry) == ""
    ruled = dump(chain(filters=[rbac("ns[shop]-policy[viewer]-rule[0]")]))
    assert slice_of(ruled, viewer)
    assert slice_of(ruled, strict) == slice_of(plain, strict)
    secure = dump(chain(tls=True))
    assert slice_of(secure, strict) != slice_of(plain, strict)
    assert slice_of(dump(chain(filters=[jwt("a@b")])), tokens)
    out = dump(chain(), clusters=[{"name": "outbound|80||www.example.com"}])
    assert slice_of(out, entry)
    assert slice_of(out, viewer) == ""
    assert len({slice_of(held, logs) for held in (plain, ruled, secure, out)}) == 4


def test_the_version_shows_filters_on_the_way_out_and_services_from_outside():
    plain, filtered = dump(chain(), name="0.0.0.0_80"), dump(chain(filters=[jwt("a")]), name="0.0.0.0_80")
    assert plain.digest("shop") != filtered.digest("shop")
    assert plain.digest("shop") == dump(chain(), chain(), name="0.0.0.0_81").digest("shop")
    metadata = {"filter_metadata": {"istio": {"services": [{"host": "a.example.com", "namespace": "shop"}]}}}
    outside = dump(chain(), name="0.0.0.0_80", clusters=[{"name": "outbound|80||a.example.com", "metadata": metadata}])
    assert outside.digest("shop") != plain.digest("shop")
    assert outside.digest("other") == plain.digest("other")
