"""Whether a real Envoy's config dump shows what a change asked for; the embedded mesh writes it with istiod's names."""

from pathlib import Path

import pytest

from runner.istio.load import load_manifests, merge, parse_manifests
from runner.mesh.cluster.dump import parse_dump
from runner.mesh.cluster.expect import State, lacking
from runner.mesh.cluster.traces import slice_of
from runner.mesh.local.mesh import LocalMesh
from tests.mesh.cluster.sample_cluster import as_on_a_cluster

ISTIO = Path(__file__).parents[3] / "experiments" / "istio"

RETRIES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{uri: {exact: /health}}, {uri: {prefix: /reviews}, headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews, subset: v2}}]
    timeout: 1s
  - route:
    - {destination: {host: reviews, subset: v1}, weight: 90}
    - {destination: {host: reviews, subset: v3}, weight: 10}
"""

LIMITS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy:
    connectionPool: {tcp: {maxConnections: 7}}
    outlierDetection: {consecutive5xxErrors: 3, interval: 5s, baseEjectionTime: 30s, maxEjectionPercent: 100}
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}, trafficPolicy: {connectionPool: {http: {http1MaxPendingRequests: 2}}}}
  - {name: v3, labels: {version: v3}}
"""


def _files(*names):
    layers = [load_manifests(ISTIO / f"{name}.yaml") for name in names]
    return merge([], *layers)


STATES = {
    "v1": ("destination-rules", "virtual-services-v1"),
    "delay": ("destination-rules", "virtual-services-v1", "ratings-delay-2s"),
    "timeout": ("destination-rules", "virtual-services-v1", "reviews-timeout-500ms"),
    "abort": ("destination-rules", "virtual-services-v1", "ratings-jason-abort"),
    "jason delay": ("destination-rules", "virtual-services-v1", "ratings-jason-delay-7s"),
    "jason 2 s": ("destination-rules", "virtual-services-v1", "ratings-jason-delay-2s"),
    "mirror": ("destination-rules", "virtual-services-v1", "reviews-mirror-v2"),
    "even": ("destination-rules", "virtual-services-v1", "reviews-v1-v3-even"),
    "some": ("destination-rules", "virtual-services-v1", "ratings-delay-1s-for-40-percent"),
    "breaker": ("destination-rules", "virtual-services-v1", "productpage-circuit-breaker"),
}


def _pods(mesh):
    return {pod.name: as_on_a_cluster(pod) for pod in mesh.instance.topology.pods}


def _dumps(mesh):
    return {name: parse_dump(text) for name, text in mesh.admin("/config_dump").items()}


@pytest.fixture(scope="module")
def mesh():
    mesh = LocalMesh.start("bookinfo")
    yield mesh
    mesh.close()


@pytest.fixture(scope="module")
def seen(mesh):
    """By name of a state: its resources, and every proxy's dump while the mesh held it."""
    pods = _pods(mesh)
    found = {}
    base = mesh.applied()
    extra = {
        "retries": (*_files(*STATES["v1"]), *parse_manifests(RETRIES, "retries.yaml")),
        "limits": (*_files(*STATES["v1"]), *parse_manifests(LIMITS, "limits.yaml")),
    }
    for name, resources in {**{name: _files(*files) for name, files in STATES.items()}, **extra}.items():
        state = list({item.key: item for item in (*base, *resources)}.values())
        mesh.restore(state)
        found[name] = (state, _dumps(mesh))
    mesh.restore(base)
    found["base"] = (base, _dumps(mesh))
    return pods, found


def _missing(pods, state, dumps, put, deleted=()):
    whole = State.of(state, {})
    return {name: reason for name, dump in dumps.items() if (reason := lacking(dump, pods[name], whole, put, deleted))}


@pytest.mark.parametrize("name", [*STATES, "retries", "limits", "base"])
def test_a_proxy_that_holds_a_state_shows_all_of_it(seen, name):
    pods, found = seen
    state, dumps = found[name]
    assert len(dumps) == 8
    assert _missing(pods, state, dumps, state) == {}


@pytest.mark.parametrize("wanted", [*STATES, "retries", "limits"])
def test_a_proxy_that_holds_another_state_is_found_out(seen, wanted):
    pods, found = seen
    state, _ = found[wanted]
    for name, (_, dumps) in found.items():
        if name != wanted:
            missing = _missing(pods, state, dumps, state)
            assert set(missing) - {"istio-ingressgateway"}, (wanted, name)


def test_what_was_deleted_must_be_gone(seen):
    pods, found = seen
    base, dumps = found["base"]
    state, faulty = found["delay"]
    gone = [item.key for item in state if item.key not in {held.key for held in base}]
    assert _missing(pods, base, dumps, [], gone) == {}
    missing = _missing(pods, base, faulty, [], gone)
    assert set(missing) == {name for name, pod in pods.items() if not pod.gateway} | {"istio-ingressgateway"}


def test_a_missing_subset_and_a_wrong_limit_are_named(seen):
    pods, found = seen
    state, _ = found["limits"]
    rule = next(item for item in state if item.key.kind == "DestinationRule" and item.key.name == "reviews")
    _, before = found["v1"]
    missing = _missing(pods, state, before, [rule])
    assert "max_connections unset instead of 7" in missing["client"]
    _, without = found["base"]
    assert "is not from it yet" in _missing(pods, state, without, [rule])["client"]


def test_the_part_of_a_resource_changes_with_it_and_with_nothing_else(seen):
    _, found = seen
    state, plain = found["v1"]
    _, delayed = found["delay"]
    ratings = next(item for item in state if item.key.kind == "VirtualService" and item.key.name == "ratings")
    reviews = next(item for item in state if item.key.kind == "VirtualService" and item.key.name == "reviews")
    assert slice_of(plain["client"], ratings) != slice_of(delayed["client"], ratings)
    assert slice_of(plain["client"], reviews) == slice_of(delayed["client"], reviews) != ""


def test_the_version_shows_any_change_of_the_namespace_and_none_of_another(seen):
    _, found = seen
    _, plain = found["v1"]
    _, delayed = found["delay"]
    assert plain["client"].digest("default") != delayed["client"].digest("default")
    assert plain["client"].digest("elsewhere") == delayed["client"].digest("elsewhere")
