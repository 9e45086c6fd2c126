"""The rig is what it says: a real Kubernetes with Istio, of which nothing leaves the machine and nothing stays on it."""

from __future__ import annotations

import http.client
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from tests.cluster.conftest import OWNED
from tests.cluster.rig import istio, lifecycle, network, prometheus
from tests.cluster.rig.node import Node
from tests.cluster.rig.places import BRIDGE, CGROUP, HOME, HOST_LINK, ISTIO, KUBERNETES, NODE_ADDRESS
from tests.cluster.rig.processes import RigError, call

pytestmark = pytest.mark.slow

APPS = Path("runner/mesh/local/apps")
NAMESPACE = f"rig-smoke-{os.getpid()}"
SOMEBODYS = "the rig was up before this run, so it is somebody's"


@dataclass(frozen=True, slots=True)
class App:
    """httpbin and its client in a namespace of their own."""

    kubectl: object
    port: int

    def client(self, *command, container="client"):
        return self.kubectl("-n", NAMESPACE, "exec", "deploy/client", "-c", container, "--", *command)

    def inside(self):
        """The status of a request from the client, through both sidecars."""
        return self.client("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://httpbin:8000/status/200")

    def status(self, path, host="httpbin.example"):
        """The status of a request from outside, through the gateway; 0 when the connection failed."""
        connection = http.client.HTTPConnection(NODE_ADDRESS, self.port, timeout=5)
        try:
            connection.request("GET", path, headers={"Host": host})
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def apply(self, *documents):
        self.kubectl("-n", NAMESPACE, "apply", "-f", "-", data=yaml.safe_dump_all(documents).encode())


def eventually(read, wanted, seconds=60):
    """Read until it is what is wanted, as istiod pushes when it is ready to; what was read last."""
    deadline = time.monotonic() + seconds
    while (seen := read()) != wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    return seen


@pytest.fixture(scope="module")
def app(rig, repository):
    rig.kubectl("create", "namespace", NAMESPACE)
    try:
        rig.kubectl("label", "namespace", NAMESPACE, "istio-injection=enabled")
        for name in ("httpbin.yaml", "client.yaml"):
            rig.kubectl("-n", NAMESPACE, "apply", "-f", str(repository / APPS / "httpbin" / name))
        rig.kubectl("-n", NAMESPACE, "wait", "--for=condition=Available", "deploy", "--all", "--timeout=120s")
        service = json.loads(rig.kubectl("-n", "istio-system", "get", "service", "istio-ingressgateway", "-o", "json"))
        port = next(port["nodePort"] for port in service["spec"]["ports"] if port["port"] == 80)
        found = App(rig.kubectl, port)
        assert eventually(found.inside, "200") == "200"  # its containers have no readiness probe
        yield found
    finally:
        rig.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def entrance(**fault):
    """A Gateway and a VirtualService that lead to httpbin, with a fault or none."""
    hosts = ["httpbin.example"]
    route = [{"destination": {"host": "httpbin", "port": {"number": 8000}}}]
    return (
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "smoke"},
            "spec": {
                "selector": {"istio": "ingressgateway"},
                "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": hosts}],
            },
        },
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": "smoke"},
            "spec": {"hosts": hosts, "gateways": ["smoke"], "http": [{"route": route, **fault}]},
        },
    )


@pytest.mark.skipif(not OWNED, reason=SOMEBODYS)
def test_down_leaves_nothing():
    assert lifecycle.leftovers(), "a rig that is up must be seen, or what follows proves nothing"
    lifecycle.down()
    assert lifecycle.leftovers() == []
    lines = [path.read_text(errors="replace") for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [line for line in lines if f"{HOME}/" in line]
    assert f"{HOME}/" not in Path("/proc/mounts").read_text()
    links = call(["ip", "-br", "link"])
    assert not {line.split("@")[0].split()[0] for line in links.splitlines()} & {BRIDGE, HOST_LINK}
    rules = call(["nft", "list", "ruleset"])
    assert not [word for word in ("198.18.", "KUBE", "kube-proxy", "CNI") if word in rules]
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{CGROUP}"))
    lifecycle.down()  # a second time is no mistake
    lifecycle.up()


def test_node_is_ready_and_up_again_changes_nothing(rig):
    node = json.loads(rig.kubectl("get", "nodes", "-o", "json"))["items"]
    assert [item["status"]["nodeInfo"]["kubeletVersion"] for item in node] == [f"v{KUBERNETES}"]
    assert [item["status"] for item in node[0]["status"]["conditions"] if item["type"] == "Ready"] == ["True"]
    before = rig.processes.pid("kubelet")
    assert lifecycle.up() == lifecycle.KUBECONFIG
    assert rig.processes.pid("kubelet") == before


def test_istioctl_finds_the_version_and_nothing_to_complain_of(rig):
    versions = json.loads(istio.istioctl(rig, "version", "-o", "json"))
    assert [item["Info"]["version"] for item in versions["meshVersion"]] == [ISTIO]
    assert "Error" not in istio.istioctl(rig, "x", "precheck")


def test_sidecars_are_injected(app, rig):
    pods = json.loads(rig.kubectl("-n", NAMESPACE, "get", "pods", "-o", "json"))["items"]
    assert {pod["metadata"]["labels"]["app"] for pod in pods} == {"httpbin", "client"}
    for pod in pods:
        spec = pod["spec"]
        assert "istio-proxy" in [item["name"] for item in spec["containers"] + spec["initContainers"]]
    stats = app.client("pilot-agent", "request", "GET", "stats", container="istio-proxy")
    assert "server.live: 1" in stats


def test_calls_between_sidecars_are_mutually_authenticated(app):
    headers = app.client("curl", "-s", "http://httpbin:8000/headers")
    assert f"By=spiffe://cluster.local/ns/{NAMESPACE}/sa/" in headers
    assert f"URI=spiffe://cluster.local/ns/{NAMESPACE}/sa/client" in headers


def test_strict_refuses_plain_text(app, rig):
    address = rig.kubectl(
        "-n", NAMESPACE, "get", "pods", "-l", "app=httpbin", "-o", "jsonpath={.items[0].status.podIP}"
    )

    def plain():
        connection = http.client.HTTPConnection(address, 8080, timeout=5)
        try:
            connection.request("GET", "/status/200")
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    assert plain() == 200
    app.apply(
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "PeerAuthentication",
            "metadata": {"name": "default"},
            "spec": {"mtls": {"mode": "STRICT"}},
        }
    )
    assert eventually(plain, None) is None
    assert app.inside() == "200"


def test_a_fault_through_the_gateway(app):
    app.apply(*entrance())
    assert eventually(lambda: app.status("/status/200"), 200) == 200
    app.apply(*entrance(fault={"abort": {"httpStatus": 555, "percentage": {"value": 100}}}))
    assert eventually(lambda: app.status("/status/200"), 555) == 555
    assert app.status("/status/200", host="other.example") == 404


def test_fortio_in_the_client_pod(app):
    printed = app.client(
        *("fortio", "load", "-quiet", "-json", "-", "-c", "2", "-n", "40", "-qps", "0"),
        "http://httpbin:8000/status/200",
    )
    assert json.loads(printed)["RetCodes"] == {"200": 40}


def test_nothing_tried_to_leave(rig):
    assert [(rule.rule, rule.packets) for rule in network.dropped()] == [
        ("cloud metadata", 0),
        ("pods to elsewhere", 0),
        ("node to elsewhere", 0),
    ]


@pytest.mark.skipif(not OWNED, reason=SOMEBODYS)
def test_prometheus_has_istios_standard_metrics(app, rig):
    prometheus.install(Node(rig))
    address = rig.kubectl("-n", "istio-system", "get", "service", "prometheus", "-o", "jsonpath={.spec.clusterIP}")
    query = quote(f'sum(istio_requests_total{{source_workload="client",namespace="{NAMESPACE}",response_code="200"}})')

    def counted():
        app.inside()
        connection = http.client.HTTPConnection(address, 9090, timeout=5)
        try:
            connection.request("GET", f"/api/v1/query?query={query}")
            found = json.load(connection.getresponse())["data"]["result"]
        except ConnectionError:  # kube-proxy has not heard of the pod yet
            return False
        finally:
            connection.close()
        return bool(found) and float(found[0]["value"][1]) > 0

    assert eventually(counted, wanted=True)


@pytest.mark.skipif(not OWNED, reason=SOMEBODYS)
def test_guard_counts_who_tries():
    """A guard that counts nothing would prove nothing. The address is one for documentation, and the rig has no route to it."""
    rig = lifecycle.control()  # no fixture: this rig is ended by the next test
    assert sum(rule.packets for rule in network.dropped()) == 0
    for address in ("169.254.169.254", "203.0.113.1"):
        with pytest.raises(RigError):
            rig.kubectl(
                "-n", "istio-system", "exec", "deploy/istiod", "--", "curl", "-s", "-m", "2", f"http://{address}"
            )
    counted = {rule.rule: rule.packets for rule in network.dropped()}
    assert counted["cloud metadata"] > 0
    assert counted["pods to elsewhere"] > 0


def test_up_says_what_is_missing(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RigError, match=r"^the rig needs root, Go, Debian's etcd-server, Debian's containerd"):
        lifecycle.up()
