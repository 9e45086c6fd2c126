"""Two Gateways for one place: which pairs Istio makes one of, and what a run and the doctor say about it."""

from dataclasses import replace

import pytest

from runner.istio.load import parse_manifests
from runner.mesh.cluster.claims import shared_gateways
from runner.mesh.cluster.doctor_demands import check_demands
from runner.mesh.finding import Demands, Status
from runner.spec.load_profile import GATEWAY
from tests.mesh.cluster.sample_cluster import GOOD

TEXT = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: NAME, namespace: SPACE}
spec:
  selector: SELECTOR
  servers: [{port: {number: PORT, name: http, protocol: HTTP}, hosts: [HOSTS]}]
"""


def gateway(name="mine", space="shop", selector="{istio: ingressgateway}", port="80", hosts='"*"'):
    text = TEXT.replace("NAME", name).replace("SPACE", space).replace("SELECTOR", selector)
    return parse_manifests(text.replace("PORT", port).replace("HOSTS", hosts), "gateway.yaml", namespace=space)[0]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({}, True),
        ({"hosts": '"other/*"'}, True),
        ({"hosts": 'a.example, "*"'}, True),
        ({"selector": "{app: istio-ingressgateway}"}, True),
        ({"port": "8080"}, False),
        ({"hosts": "a.example"}, False),
        ({"selector": "{istio: another}"}, False),
    ],
)
def test_a_gateway_elsewhere_for_the_same_host_and_port_of_the_same_pods(other, told):
    theirs = gateway("theirs", "other", **other)
    words = shared_gateways([gateway()], [theirs])
    assert bool(words) == told
    assert all(text.startswith("Gateway other/theirs serves the host * at port 80 of the same") for text in words)
    facts = replace(GOOD, here=(gateway(),), elsewhere=(theirs,))
    for sources, expected in ((frozenset({GATEWAY}), told), (frozenset({"client"}), False)):
        found = check_demands(facts, Demands("demo", sources=sources), "shop")
        warned = [item for item in found if item.check == "Gateways"]
        assert bool(warned) == expected
        assert all(item.status is Status.WARNING and item.fix for item in warned)


def test_a_gateway_is_no_conflict_with_itself_and_a_broken_one_is_passed_over():
    assert shared_gateways([gateway()], [gateway()]) == []
    broken = gateway("broken", "other")
    broken.body["spec"]["servers"] = [{"hosts": None}, "nonsense"]
    assert shared_gateways([gateway()], [broken]) == []


def test_a_port_of_the_gateways_service_is_its_pods_port_too():
    """Of two Gateways for 80 and 8080 Istio makes one where the Service leads from 80 to 8080."""
    mine, theirs = gateway(port="8080"), gateway("theirs", "other", port="80")
    assert shared_gateways([mine], [theirs]) == []
    (words,) = shared_gateways([mine], [theirs], {80: {8080}})
    assert words.startswith(
        "Gateway other/theirs serves the host * at port 8080 of the same gateway pods as Gateway shop/mine"
    )
    assert len(shared_gateways([theirs], [mine], {80: {8080}})) == 1
    assert shared_gateways([mine], [theirs], {80: {8081}}) == []
