"""What Sidecar resources hide from whom, and whether any proxy holds a resource."""

import json

import pytest
import yaml

from runner.istio.load import parse_manifests
from runner.mesh.cluster.dump import parse_dump
from runner.mesh.cluster.pods import Pod
from runner.mesh.cluster.visible import egress_of, egresses, hidden_from, unheld, unseen, why_unheld

SIDECAR = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: NAME, namespace: SPACE}
spec: SPEC
"""
VIRTUAL_SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings}
spec:
  hosts: [ratings]
  http: [{route: [{destination: {host: ratings}}], timeout: 1s}]
"""
RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ratings}
spec: {host: ratings, trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}}
"""
HOST = "ratings.shop.svc.cluster.local"


def pod(workload, *, gateway=False, namespace="shop"):
    labels = {"app": workload}
    return Pod(workload, namespace, workload, labels, proxied=True, gateway=gateway, ready=True, restarts={})


PODS = [pod("client"), pod("reviews"), pod("door", gateway=True, namespace="istio-system")]


def read(text):
    return parse_manifests(text, "a.yaml", namespace="shop", embedded=False)[0]


def sidecar(spec, name="narrow", space="shop"):
    return read(SIDECAR.replace("NAME", name).replace("SPACE", space).replace("SPEC", spec))


@pytest.mark.parametrize("text", [VIRTUAL_SERVICE, RULE], ids=["route", "rule"])
@pytest.mark.parametrize(
    ("hosts", "shown"),
    [
        (f"./{HOST}", True),
        ("./*", True),
        ("*/*", True),
        ("shop/*.shop.svc.cluster.local", True),
        (f"*/{HOST}", True),
        ("./reviews.shop.svc.cluster.local", False),
        ("istio-system/*", False),
        ("~/*", False),
    ],
)
def test_what_a_sidecar_resource_shows(text, hosts, shown):
    known = egresses([sidecar(f'{{egress: [{{hosts: ["other/*"]}}, {{hosts: ["{hosts}"]}}]}}')])
    found = {pod.workload for pod, _ in hidden_from(read(text), PODS, known)}
    assert found == (set() if shown else {"client", "reviews"})


def test_one_without_egress_hides_nothing():
    assert hidden_from(read(RULE), PODS, egresses([sidecar("{}"), read(RULE)])) == []


def test_the_one_with_a_pods_labels_counts_then_the_namespaces_then_the_meshs():
    none = '{egress: [{hosts: ["istio-system/*"]}]'
    own = sidecar(none + ", workloadSelector: {labels: {app: client}}}", "own")
    here, mesh = sidecar(none + "}", "here"), sidecar(none + "}", "mesh", "istio-system")
    counting = egress_of(PODS[0], egresses([mesh, here, own]))
    assert counting.key.name == "own"
    assert egress_of(PODS[1], egresses([mesh, here, own])).key.name == "here"
    assert egress_of(PODS[1], egresses([mesh, own])).key.name == "mesh"
    assert egress_of(PODS[1], egresses([own])) is None


def test_it_is_told_once_for_all_that_is_hidden_alike():
    narrow = sidecar('{egress: [{hosts: ["istio-system/*"]}], workloadSelector: {labels: {app: client}}}')
    (found,) = unseen([read(VIRTUAL_SERVICE), read(RULE)], PODS, egresses([narrow]))
    assert not found.everywhere
    assert str(found) == (
        "Sidecar shop/narrow hides VirtualService shop/ratings and DestinationRule shop/ratings from client: "
        "requests from there are as without it"
    )
    (everywhere,) = unseen([read(RULE)], PODS, egresses([sidecar('{egress: [{hosts: ["istio-system/*"]}]}')]))
    assert everywhere.everywhere
    assert "from every sidecar of the namespace" in str(everywhere)


def dump(*, route=None, clusters=(), to=None):
    """A proxy's config with one route from a VirtualService, or to a cluster, and some clusters."""
    found = {"match": {"prefix": "/"}, "route": {"cluster": to or "x"}}
    if route:
        path = f"/apis/networking.istio.io/v1/namespaces/shop/virtual-service/{route}"
        found["metadata"] = {"filter_metadata": {"istio": {"config": path}}}
    config = {"name": "9080", "virtual_hosts": [{"name": "a", "routes": [found]}]}
    kind = "type.googleapis.com/envoy.admin.v3."
    parts = [
        {"@type": kind + "RoutesConfigDump", "dynamic_route_configs": [{"route_config": config}]},
        {
            "@type": kind + "ClustersConfigDump",
            "dynamic_active_clusters": [{"cluster": {"name": name}} for name in clusters],
        },
    ]
    return parse_dump(json.dumps({"configs": parts}))


NAMES = {item.workload: item for item in PODS}
CLUSTER = f"outbound|9080||{HOST}"


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (("1s", "2s"), True),
        (("hosts: [ratings]", "hosts: []"), False),
        (("hosts: [ratings]", "hosts: [ratings]\n  gateways: [door]"), False),
        (("http: [{", "http: [{match: [{sourceLabels: {app: nobody}}], "), False),
        (("http: [{", "http: [{match: [{uri: {prefix: /}}], "), True),
        (("http: [{", "http: [{match: [{sourceLabels: {app: nobody}}, {method: {exact: GET}}], "), True),
        (("http: [{route", "tcp: [{route"), False),
    ],
)
def test_a_virtual_service_that_no_proxy_holds(change, missing):
    resource = read(VIRTUAL_SERVICE)
    resource.body["spec"] = yaml.safe_load(VIRTUAL_SERVICE.replace(*change))["spec"]  # as another may have written it
    nobody = dict.fromkeys(NAMES, dump(route="other", clusters=[CLUSTER]))
    assert unheld(resource, nobody, NAMES) == missing
    assert not unheld(resource, {**nobody, "reviews": dump(route="ratings")}, NAMES)


def test_a_destination_rule_is_held_where_its_host_has_a_cluster():
    nobody = dict.fromkeys(
        NAMES, dump(clusters=["outbound|9080||reviews.shop.svc.cluster.local", "PassthroughCluster"])
    )
    assert unheld(read(RULE), nobody, NAMES)
    assert not unheld(read(RULE), {**nobody, "client": dump(clusters=[CLUSTER])}, NAMES)
    assert not unheld(read(RULE.replace("host: ratings", 'host: "*.shop.svc.cluster.local"')), nobody, NAMES)
    elsewhere = read(RULE.replace("{host", "{workloadSelector: {matchLabels: {app: nobody}}, host"))
    assert not unheld(elsewhere, nobody, NAMES)


def test_a_gateway_has_clusters_of_every_service_so_a_route_must_lead_there():
    nobody = dict.fromkeys(NAMES, dump())
    assert unheld(read(RULE), {**nobody, "door": dump(clusters=[CLUSTER])}, NAMES)
    assert not unheld(read(RULE), {**nobody, "door": dump(clusters=[CLUSTER], to=CLUSTER)}, NAMES)


def test_other_kinds_are_not_judged():
    assert not unheld(sidecar("{}"), dict.fromkeys(NAMES, dump()), NAMES)


def test_the_reason_names_the_sidecar_resource_where_it_is_known():
    narrow = sidecar('{egress: [{hosts: ["istio-system/*"]}]}')
    words = why_unheld(read(VIRTUAL_SERVICE), [narrow], PODS)
    assert words == "no proxy holds VirtualService shop/ratings: Sidecar shop/narrow hides it"
    assert why_unheld(read(VIRTUAL_SERVICE), [], PODS).endswith(
        "does a Sidecar resource or exportTo hide it, or is no port of its hosts HTTP?"
    )
    assert "DestinationRule shop/ratings; does a Sidecar" in why_unheld(read(RULE), [], PODS)
