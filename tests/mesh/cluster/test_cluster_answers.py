"""What the other side says: istiod's syncz, an API server's refusals, pods, gateways' ports, access logs."""

import json

import pytest
from kubernetes.client.exceptions import ApiException

from runner.istio.load import parse_manifests
from runner.mesh.cluster.entry import candidates, find_port, target_ports
from runner.mesh.cluster.errors import AwayError, StatusError, status_error
from runner.mesh.cluster.istiod import parse_syncz, push_number
from runner.mesh.cluster.logs import lines_between
from runner.mesh.cluster.pods import pod_of, proxy_names
from runner.mesh.cluster.tunnel import _refusal

UUID = "5a3f0d0e-3d2c-4b5a-9f43-0f6d3b8c1a22"


def _nonce(number):
    return f"2026-11-24T09:00:00Z/{number}{UUID}"


def test_the_number_of_a_push_is_read_from_its_nonce():
    assert push_number(_nonce(12)) == 12
    assert push_number("") == 0
    assert push_number("2026-11-24T09:00:00+01:00/7" + UUID) == 7


def test_syncz_says_how_far_each_proxy_is():
    entry = {
        "cluster_id": "Kubernetes", "proxy": "reviews-v1-abc.default", "proxy_type": "sidecar", "istio_version": "1.31.0",
        "cluster_sent": _nonce(9), "cluster_acked": _nonce(9), "listener_sent": _nonce(9), "listener_acked": _nonce(9),
        "route_sent": _nonce(12), "route_acked": _nonce(9),
        "resources": {"type.googleapis.com/envoy.config.route.v3.RouteConfiguration": {"lastError": "Bad regex"}},
    }  # fmt: skip
    (sync,) = parse_syncz(json.dumps([entry]))
    assert (sync.sent["rds"], sync.acked["rds"], sync.settled, sync.rejected) == (12, 9, False, "Bad regex")
    entry["route_acked"] = entry["route_sent"]
    assert parse_syncz(json.dumps([entry]))[0].settled
    with pytest.raises(ValueError, match="not a list"):
        parse_syncz("{}")


def _status(code, reason, message):
    return json.dumps({"kind": "Status", "code": code, "reason": reason, "message": message}).encode()


def test_a_missing_permission_is_told_from_a_webhook_that_refuses():
    forbidden = status_error(
        403, _status(403, "Forbidden", 'User "bob" cannot update resource "virtualservices"'), "PUT"
    )
    assert forbidden.forbidden
    assert not forbidden.refused
    webhook = status_error(403, _status(403, "", 'admission webhook "policy.example" denied the request: no'), "PUT")
    assert webhook.refused
    assert not webhook.forbidden
    assert status_error(422, _status(422, "Invalid", "spec.http: Required value"), "PUT").refused
    assert str(status_error(502, b"<html>\nBad Gateway", "GET /x")) == "GET /x: <html>"


def test_a_refused_websocket_says_why():
    body = _status(403, "Forbidden", 'pods "a" is forbidden: User "bob" cannot create resource "pods/portforward"')
    reason = f"Handshake status 403 Forbidden -+-+- {{'content-length': '1'}} -+-+- {body!r}"
    error = _refusal("port-forward to default/a:15000", ApiException(status=0, reason=reason))
    assert isinstance(error, StatusError)
    assert error.forbidden
    assert isinstance(_refusal("x", ApiException(status=0, reason="timed out")), AwayError)


def _pod(name, **changes):
    item = {
        "metadata": {
            "name": name, "namespace": "default", "uid": "u1", "labels": {"app": "reviews", "pod-template-hash": "7d4b"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "reviews-v1-7d4b", "controller": True}],
        },
        "spec": {
            "containers": [{"name": "reviews", "ports": [{"name": "http", "containerPort": 9080}]}],
            "initContainers": [{"name": "istio-init"}, {"name": "istio-proxy", "args": ["proxy", "sidecar"]}],
        },
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{
                "name": "reviews", "restartCount": 2,
                "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
            }],
        },
    }  # fmt: skip
    item["metadata"] |= changes
    return item


def test_a_pod_with_a_native_sidecar_belongs_to_its_deployment():
    pod = pod_of(_pod("reviews-v1-7d4b-x1"))
    assert (pod.workload, pod.proxied, pod.gateway, pod.ready) == ("reviews-v1", True, False, True)
    assert pod.restarts == {"reviews": 2}
    assert pod.ended == {"reviews": "OOMKilled, exit code 137"}
    assert pod_of(_pod("alone", ownerReferences=[])).workload == "alone"
    assert pod_of(_pod("a", annotations={"ambient.istio.io/redirection": "enabled"})).ambient


def test_replicas_are_numbered():
    pods = [pod_of(_pod(name)) for name in ("reviews-v1-7d4b-b", "reviews-v1-7d4b-a")]
    assert {name: pod.name for name, pod in proxy_names(pods).items()} == {
        "reviews-v1-0": "reviews-v1-7d4b-a",
        "reviews-v1-1": "reviews-v1-7d4b-b",
    }
    assert list(proxy_names(pods[:1])) == ["reviews-v1"]


GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: bookinfo-gateway}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}
"""


def _gateway(**service):
    pod = pod_of(
        _pod("gw", labels={"istio": "ingressgateway"}, ownerReferences=[])
        | {"spec": {"containers": [{"name": "istio-proxy", "args": ["proxy", "router"]}]}}
    )
    spec = {"selector": {"istio": "ingressgateway"}, "ports": [{"port": 80, "targetPort": 8080, "nodePort": 30080}]}
    return pod, {"metadata": {"name": "istio-ingressgateway", "namespace": "default"}, "spec": spec, **service}


def test_the_gateways_port_is_found_behind_its_service():
    pod, service = _gateway(status={"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}})
    assert pod.gateway
    port = find_port(parse_manifests(GATEWAY, "g.yaml"), [pod], [service])
    assert (port.number, port.target, port.service_port, port.node_port) == (8080, 8080, 80, 30080)
    assert list(candidates(port, ["10.0.0.1"])) == [("192.0.2.7", 80), ("10.0.0.1", 30080)]
    assert target_ports([service], [pod]) == {80: {8080}}


@pytest.mark.parametrize(("address", "found"), [("10.96.0.7", [("10.96.0.7", 80)]), ("None", []), ("", [])])
def test_inside_the_cluster_the_gateways_service_is_the_nearest_way(address, found):
    pod, service = _gateway()
    service["spec"]["clusterIP"] = address
    port = find_port(parse_manifests(GATEWAY, "g.yaml"), [pod], [service])
    assert list(candidates(port, ["10.0.0.1"], inside=True)) == [*found, ("10.0.0.1", 30080)]
    assert list(candidates(port, ["10.0.0.1"])) == [("10.0.0.1", 30080)]


def test_a_gateway_without_a_service_has_only_its_pod():
    pod, _ = _gateway()
    port = find_port(parse_manifests(GATEWAY, "g.yaml"), [pod], [])
    assert (port.target, list(candidates(port, ["10.0.0.1"]))) == (8080, [])
    assert find_port([], [pod], []) is None


def test_the_lines_of_a_window_are_found_among_other_words():
    lines = [
        "2026-11-24T09:00:00.000000Z\tinfo\tEnvoy proxy is ready",
        '[2026-11-24T09:00:01.500Z] "GET /a HTTP/1.1" 200',
        '[2026-11-24T09:00:09.500Z] "GET /b HTTP/1.1" 200',
        "[not a time] x",
    ]
    start = 1795510800.0
    assert lines_between("\n".join(lines), start, start + 5) == [lines[1]]
