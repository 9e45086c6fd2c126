"""Mutual TLS as Envoy config: inbound filter chains, and the transport sockets of outbound clusters."""

from __future__ import annotations

from pathlib import Path

import pytest
from peer_authentications import peer_authentication as policy

from runner.mesh.local.translate import ProxyPaths, translate
from runner.mesh.local.translate.tls import MTLS_ALPN

HOST = "reviews.default.svc.cluster.local"
CLUSTER = f"outbound|9080||{HOST}"


def rule(policy: str, subsets: str = "[]") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: reviews}}
spec: {{host: reviews, trafficPolicy: {policy}, subsets: {subsets}}}
"""


@pytest.fixture
def config(registry, topology):
    """A pod's whole config, everything by name."""

    def make(text: str = "", pod: str = "client"):
        services = [service.resource for service in registry().services.values()]
        resources = services + [
            bound.resource
            for made in [registry(text)]
            for bound in (*made.destination_rules, *made.peer_authentications)
        ]
        paths = ProxyPaths(Path("/mesh") / pod)
        found = translate(topology, resources, topology.pod(pod), paths)
        return {item.name: item for item in (*found.clusters, *found.listeners)}

    return make


@pytest.fixture
def inbound(config, topology):
    """The inbound listener of a version of reviews."""

    def make(text: str = "", pod: str = "reviews-v1"):
        return config(text, pod)[f"{topology.pod(pod).address}_9080"]

    return make


def test_both_are_taken_by_default(inbound):
    listener = inbound().config
    assert [each["name"] for each in listener["listener_filters"]] == ["envoy.filters.listener.tls_inspector"]
    secure, plain = listener["filter_chains"]
    assert secure["filter_chain_match"] == {"transport_protocol": "tls", "application_protocols": list(MTLS_ALPN)}
    assert plain["filter_chain_match"] == {"transport_protocol": "raw_buffer"}
    assert secure["filters"] == plain["filters"]
    assert "transport_socket" not in plain
    context = secure["transport_socket"]["typed_config"]
    assert context["require_client_certificate"] is True
    common = context["common_tls_context"]
    assert common["alpn_protocols"] == ["h2", "http/1.1"]
    assert common["tls_certificates"] == [
        {
            "certificate_chain": {"filename": "/mesh/reviews-v1/cert-chain.pem"},
            "private_key": {"filename": "/mesh/reviews-v1/key.pem"},
        }
    ]
    assert common["validation_context"] == {"trusted_ca": {"filename": "/mesh/reviews-v1/root-cert.pem"}}


def test_strict_takes_tls_only(inbound):
    listener = inbound(policy("{mtls: {mode: STRICT}}", namespace="istio-system"))
    (secure,) = listener.config["filter_chains"]
    assert secure["filter_chain_match"] == {"transport_protocol": "tls"}
    assert listener.config["listener_filters"]
    assert listener.sources[-1].key.kind == "PeerAuthentication"


def test_disable_takes_plain_text_only(inbound):
    listener = inbound(policy("{mtls: {mode: DISABLE}}")).config
    (plain,) = listener["filter_chains"]
    assert "filter_chain_match" not in plain
    assert "transport_socket" not in plain
    assert "listener_filters" not in listener


def test_a_policy_reaches_its_pods_and_ports_only(inbound):
    selecting = "{selector: {matchLabels: {version: v1}}, mtls: {mode: STRICT}}"
    assert len(inbound(policy(selecting)).config["filter_chains"]) == 1
    assert len(inbound(policy(selecting), "reviews-v2").config["filter_chains"]) == 2
    ports = "{selector: {matchLabels: {version: v1}}, mtls: {mode: STRICT}, portLevelMtls: {9080: {mode: PERMISSIVE}}}"
    assert len(inbound(policy(ports)).config["filter_chains"]) == 2


def test_applications_learn_of_their_clients_certificates(inbound):
    for chain in inbound().config["filter_chains"]:
        manager = chain["filters"][0]["typed_config"]
        assert manager["forward_client_cert_details"] == "APPEND_FORWARD"
        assert manager["set_current_client_cert_details"] == {"subject": True, "dns": True, "uri": True}


def socket(cluster, **endpoint_metadata):
    """The TLS context that an endpoint's connections get; None for plain text."""
    if "transport_socket" in cluster.config:
        return cluster.config["transport_socket"]["typed_config"]
    for match in cluster.config.get("transport_socket_matches", ()):
        if match["match"].items() <= endpoint_metadata.items():
            config = match["transport_socket"]["typed_config"]
            return config if "UpstreamTlsContext" in config["@type"] else None
    return None


def marks(cluster):
    """What each endpoint says of itself."""
    (group,) = cluster.config["load_assignment"]["endpoints"]
    return [
        endpoint["metadata"]["filter_metadata"].get("envoy.transport_socket_match", {})
        for endpoint in group["lb_endpoints"]
    ]


def test_sidecars_use_mutual_tls_by_themselves(config):
    cluster = config()[CLUSTER]
    assert marks(cluster) == [{"tlsMode": "istio"}] * 3
    context = socket(cluster, tlsMode="istio")
    assert context["sni"] == f"outbound_.9080_._.{HOST}"
    common = context["common_tls_context"]
    assert common["alpn_protocols"] == ["istio-peer-exchange", "istio"]
    assert common["validation_context"]["match_typed_subject_alt_names"] == [
        {"san_type": "URI", "matcher": {"exact": "spiffe://cluster.local/ns/default/sa/default"}}
    ]
    assert socket(cluster) is None


def test_the_way_to_ones_own_application_is_plain(config):
    cluster = config(pod="reviews-v1")["inbound|9080||"]
    assert not {"transport_socket", "transport_socket_matches"} & set(cluster.config)


def test_who_takes_no_tls_gets_plain_text(config):
    selecting = policy("{selector: {matchLabels: {version: v2}}, mtls: {mode: DISABLE}}")
    cluster = config(selecting)[CLUSTER]
    assert marks(cluster) == [{"tlsMode": "istio"}, {}, {"tlsMode": "istio"}]
    assert cluster.sources[-1].key.kind == "PeerAuthentication"
    everywhere = config(policy("{mtls: {mode: DISABLE}}"))[CLUSTER]
    assert marks(everywhere) == [{}] * 3
    assert "transport_socket_matches" not in everywhere.config


def test_a_rule_decides_for_all(config):
    cluster = config(rule("{tls: {mode: DISABLE}}"))[CLUSTER]
    assert not {"transport_socket", "transport_socket_matches"} & set(cluster.config)
    cluster = config(rule("{tls: {mode: ISTIO_MUTUAL}}"))[CLUSTER]
    assert socket(cluster)["sni"] == f"outbound_.9080_._.{HOST}"
    assert "transport_socket_matches" not in cluster.config


def test_subsets_and_ports_have_their_own(config):
    subsets = "[{name: v1, labels: {version: v1}, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}, {name: v2, labels: {version: v2}}]"
    found = config(rule("{tls: {mode: DISABLE}}", subsets))
    assert socket(found[f"outbound|9080|v1|{HOST}"])["sni"] == f"outbound_.9080_.v1_.{HOST}"
    assert socket(found[f"outbound|9080|v2|{HOST}"], tlsMode="istio") is None
    ports = "{tls: {mode: DISABLE}, portLevelSettings: [{port: {number: 9080}, loadBalancer: {simple: RANDOM}}]}"
    cluster = config(rule(ports))[CLUSTER]
    assert socket(cluster, tlsMode="istio") is not None, "a port's policy replaces the rule's as a whole"


def test_http2_is_offered_where_it_is_spoken(config):
    upgrade = rule("{connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}")
    common = socket(config(upgrade)[CLUSTER], tlsMode="istio")["common_tls_context"]
    assert common["alpn_protocols"] == ["istio-peer-exchange", "istio", "h2"]


def test_a_gateway_calls_like_a_sidecar_and_trusts_no_header(config, registry, topology, manifests):
    assert socket(config(pod="gateway")[CLUSTER], tlsMode="istio") is not None
    gateways = [bound.resource for bound in registry(manifests.gateway).gateways]
    (listener,) = translate(topology, gateways, topology.pod("gateway"), ProxyPaths(Path("/mesh/gateway"))).listeners
    manager = listener.config["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["forward_client_cert_details"] == "SANITIZE_SET"
