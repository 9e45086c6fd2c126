"""Pods without a sidecar among those with one are told, with what they mean; those that nobody sends to are not."""

import pytest

from runner.istio.load import parse_manifests
from runner.mesh.cluster.inventory import Inventory, beside_sidecars, warn_of_bare
from runner.mesh.cluster.job import GENERATOR
from tests.mesh.cluster.sample_cluster import pod

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}
"""
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews}}]}]}
"""


def found(*pods):
    return beside_sidecars(Inventory(list(pods)), parse_manifests(SERVICE, "service.yaml", namespace="shop"))


def test_a_service_with_both_is_warned_of_by_name():
    bare = found(pod(), pod("reviews-b", proxied=False))
    assert bare == {"reviews": {"reviews-v1-abc": ["reviews-b"]}}
    (warning,) = warn_of_bare(bare, [], "shop")
    assert warning.startswith("reviews has pods with a sidecar and without (reviews-b): ")
    assert "pass routes, faults, policies and counters by" in warning


@pytest.mark.parametrize(
    "other",
    [
        pod("reviews-b"),
        pod("reviews-b", proxied=False, ready=False),
        pod("elsewhere", proxied=False, labels={"app": "legacy"}),
        pod("meshtrial-load-1", proxied=False, labels={GENERATOR: "meshtrial-load"}),
    ],
    ids=["with a sidecar", "not ready", "behind no Service", "a load generator"],
)
def test_what_gets_no_requests_past_the_sidecars_is_not(other):
    assert found(pod(), other) == {}


def test_a_service_without_any_sidecar_is_told_of_only_where_the_config_names_it():
    bare = found(pod("reviews-b", proxied=False))
    assert warn_of_bare(bare, [], "shop") == []
    (warning,) = warn_of_bare(bare, parse_manifests(ROUTE, "route.yaml", namespace="shop"), "shop")
    assert warning.startswith("no pod behind reviews, which the experiment's config names, has a sidecar (reviews-b)")


def test_many_are_counted():
    bare = found(pod(), *(pod(f"reviews-{name}", proxied=False) for name in "bcdef"))
    assert "(reviews-b, reviews-c, reviews-d and 2 more)" in warn_of_bare(bare, [], "shop")[0]
