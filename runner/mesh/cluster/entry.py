"""Where load enters a cluster: the ingress gateway's Service from a pod, else its load balancer, a node's port, or a port-forward."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.errors import InputError, MeshError
from runner.istio.gateway import Gateway
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.expect import kind_of
from runner.mesh.cluster.tunnel import PodConnection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.istio.resource import Resource
    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.pods import Pod

_REACH = 2.0
_CHUNK = 1 << 16

TUNNEL_LIMITS = (
    "load enters through a port-forward, because the gateway has no address that can be reached from here: every connection passes "
    "the API server, so its latencies are not the mesh's, and some hundred requests/s are the most. Give the gateway's Service "
    "a load balancer or a NodePort"
)


@dataclass(frozen=True, slots=True)
class GatewayPort:
    """A port that a Gateway serves HTTP at.

    Attributes:
        number: as in the Gateway.
        pod: a pod of the gateway.
        target: the port that the pod listens on.
        service_port: the port of the Service before it; None when no Service leads there.
        node_port: its port on every node.
        addresses: of the Service's load balancer.
        cluster_address: of the Service inside the cluster; empty for a headless one.
    """

    number: int
    pod: Pod
    target: int
    service_port: int | None = None
    node_port: int | None = None
    addresses: tuple[str, ...] = ()
    cluster_address: str = ""


def http_ports(resources: Sequence[Resource]) -> list[tuple[Gateway, int]]:
    """The HTTP ports of all Gateways of a state, lowest first."""
    found = []
    for resource in resources:
        spec = kind_of(resource)
        if isinstance(spec, Gateway):
            found += [
                (spec, server.port.number) for server in spec.servers if not (server.tls and server.tls.https_redirect)
            ]
    return sorted(found, key=lambda item: item[1])


def gateway_services(api: Api, pods: Sequence[Pod]) -> tuple[list[dict[str, Any]], list[str]]:
    """The Services before gateway pods, and what could not be looked at.

    Raises:
        MeshError: the API server can't be asked.
    """
    found: list[dict[str, Any]] = []
    problems = []
    for namespace in sorted({pod.namespace for pod in pods}):
        try:
            items = api.get(f"/api/v1/namespaces/{namespace}/services").get("items") or []
        except StatusError as error:
            if not error.forbidden:
                raise
            problems.append(f"services of {namespace} can't be listed, so the gateway's address is not known")
            continue
        found += [item for item in items if any(_leads_to(item, pod) for pod in pods if pod.namespace == namespace)]
    return found, problems


def _leads_to(service: Mapping[str, Any], pod: Pod) -> bool:
    selector = (service.get("spec") or {}).get("selector") or {}
    return bool(selector) and selector.items() <= pod.labels.items()


def target_ports(services: Sequence[Mapping[str, Any]], pods: Sequence[Pod]) -> dict[int, set[int]]:
    """By port of the gateway's Services, the ports that its pods listen on for it."""
    found: dict[int, set[int]] = {}
    for service in services:
        for port in service["spec"].get("ports") or []:
            for pod in pods:
                if _leads_to(service, pod):
                    found.setdefault(int(port["port"]), set()).add(_target(port, pod))
    return found


def _target(port: Mapping[str, Any], pod: Pod) -> int:
    target = port.get("targetPort", port["port"])
    return pod.ports.get(target, int(port["port"])) if isinstance(target, str) else int(target)


def find_port(
    resources: Sequence[Resource], pods: Sequence[Pod], services: Sequence[Mapping[str, Any]]
) -> GatewayPort | None:
    """The lowest HTTP port that a Gateway serves at a pod that is there; None without one."""
    for gateway, number in http_ports(resources):
        for pod in pods:
            if not gateway.selector.items() <= pod.labels.items():
                continue
            for service in services:
                if not _leads_to(service, pod):
                    continue
                for port in service["spec"].get("ports") or []:
                    if number in {int(port["port"]), _target(port, pod)}:
                        return _port_of(number, pod, service, port)
            return GatewayPort(number, pod, number)
    return None


def _port_of(number: int, pod: Pod, service: Mapping[str, Any], port: Mapping[str, Any]) -> GatewayPort:
    balancer = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    addresses = [str(entry.get("ip") or entry.get("hostname")) for entry in balancer]
    addresses += [str(address) for address in service["spec"].get("externalIPs") or []]
    node_port = port.get("nodePort")
    inside = str(service["spec"].get("clusterIP") or "None")
    return GatewayPort(
        number,
        pod,
        _target(port, pod),
        int(port["port"]),
        int(node_port) if node_port else None,
        tuple(addresses),
        "" if inside == "None" else inside,
    )


def node_addresses(api: Api) -> list[str]:
    """Addresses of the nodes that are ready, external ones first; none when nodes may not be listed."""
    try:
        nodes = api.get("/api/v1/nodes").get("items") or []
    except StatusError:
        return []
    found: dict[str, list[str]] = {"ExternalIP": [], "InternalIP": []}
    for node in nodes:
        for address in (node.get("status") or {}).get("addresses") or []:
            if address["type"] in found:
                found[address["type"]].append(str(address["address"]))
    return found["ExternalIP"] + found["InternalIP"]


def candidates(port: GatewayPort, nodes: Sequence[str], *, inside: bool = False) -> Iterator[tuple[str, int]]:
    """Where the gateway may be reached, the best first.

    Args:
        port: which one.
        nodes: addresses of the cluster's nodes.
        inside: whether we are in a pod of the cluster. From elsewhere a Service's own address may be somebody else's.
    """
    if inside and port.cluster_address and port.service_port is not None:
        yield port.cluster_address, port.service_port
    if port.service_port is not None:
        yield from ((address, port.service_port) for address in port.addresses)
    if port.node_port is not None:
        yield from ((node, port.node_port) for node in nodes)


def reachable(address: str, port: int) -> bool:
    """Whether something accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=_REACH):
        return True
    return False


@dataclass(slots=True)
class Forwarder:
    """A local port whose connections go to a port of a pod."""

    api: Api
    pod: Pod
    target: int
    _listener: socket.socket = field(init=False)
    _closed: bool = False

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        threading.Thread(target=self._accept, name="port-forward", daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        while not self._closed:
            try:
                local, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(local,), name="port-forward connection", daemon=True).start()

    def _carry(self, local: socket.socket) -> None:
        with local:
            try:
                way = PodConnection(self.api, self.pod.namespace, self.pod.name, self.target)
            except MeshError:
                return  # the driver sees a connection that was closed, and counts it
            back = threading.Thread(target=_pump, args=(way.socket, local), daemon=True)
            back.start()
            _pump(local, way.socket)
            with contextlib.suppress(OSError):
                way.close()
            back.join(_REACH)

    def close(self) -> None:
        """Accept no more connections."""
        self._closed = True
        self._listener.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def no_gateway() -> InputError:
    """There is nothing that load could enter at."""
    return InputError(
        "no Gateway with an HTTP server is applied whose gateway pods run, so nothing can enter at the gateway"
    )
