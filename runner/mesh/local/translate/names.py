"""The names that istiod gives to things, so that stats, logs and config dumps of the embedded mesh read as Istio's do.

Source: istio.io/istio, `pilot/pkg/model` (subset keys, route names) and `pilot/pkg/networking/core` (listeners).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.istio.hosts import CLUSTER_DOMAIN
from runner.mesh.local.topology import HTTP_PROXY_PORT, LOW_PORT_OFFSET

if TYPE_CHECKING:
    from runner.istio.resource import Resource
from runner.mesh.local.topology import Pod

DEFAULT_ROUTE = "default"
"""Name of the route that istiod makes for a service without a VirtualService."""

BLOCK_ALL = "block_all"
"""Name of the virtual host and route for hosts that the mesh doesn't know (outboundTrafficPolicy REGISTRY_ONLY)."""

BLACK_HOLE = "BlackHoleCluster"
"""`destination_service_name` of requests to hosts that the mesh doesn't know."""

HTTP_PROXY = "http_proxy"
"""Name of the RouteConfiguration behind the plain HTTP proxy port."""

METADATA = "istio"
"""Key of Istio's own metadata in `filter_metadata`."""

PEER_HEADER = "x-envoy-peer-metadata-id"
"""The header in which a proxy tells the next one which workload is calling (Istio's HTTP peer metadata)."""

PEER_STATE = "istio.downstream_peer"
"""Filter state that keeps the caller's workload after its header was taken off."""

_FIRST_FREE_PORT = 1024
_GROUP_VERSION = {
    "VirtualService": "networking.istio.io/v1",
    "DestinationRule": "networking.istio.io/v1",
    "Gateway": "networking.istio.io/v1",
}
_KEBAB = {"VirtualService": "virtual-service", "DestinationRule": "destination-rule", "Gateway": "gateway"}


def outbound_cluster(port: int, subset: str | None, host: str) -> str:
    """`outbound|9080|v1|reviews.default.svc.cluster.local`."""
    return f"outbound|{port}|{subset or ''}|{host}"


def sni(port: int, subset: str | None, host: str) -> str:
    """`outbound_.9080_.v1_.reviews.default.svc.cluster.local`: a cluster's name as a server name (TLS takes no `|`)."""
    return f"outbound_.{port}_.{subset or ''}_.{host}"


def inbound_cluster(port: int) -> str:
    """`inbound|9080||`, by the container's port."""
    return f"inbound|{port}||"


def stat_name(name: str) -> str:
    """The name under which stats are kept: istiod ends it with `;`, so that dots inside it can be told from Envoy's."""
    return f"{name};"


def listener(port: int) -> str:
    """`0.0.0.0_9080`."""
    return f"0.0.0.0_{port}"


def http_proxy_listener() -> str:
    """`127.0.0.1_15002`."""
    return f"127.0.0.1_{HTTP_PROXY_PORT}"


def outbound_stat_prefix(listener_name: str) -> str:
    """`outbound_0.0.0.0_9080;`; a gateway's listeners use it too."""
    return stat_name(f"outbound_{listener_name}")


def inbound_stat_prefix(port: int) -> str:
    """`inbound_0.0.0.0_9080;`."""
    return stat_name(f"inbound_{listener(port)}")


def inbound_virtual_host(port: int) -> str:
    """`inbound|http|9080`."""
    return f"inbound|http|{port}"


def sidecar_route(port: int) -> str:
    """`9080`."""
    return str(port)


def gateway_route(port: int) -> str:
    """`http.8080`, by the port that the gateway listens on."""
    return f"http.{port}"


def listen_port(port: int) -> int:
    """The port at which a Gateway's or Service's port is served here (80 at 8080: no root is needed)."""
    return port + LOW_PORT_OFFSET if port < _FIRST_FREE_PORT else port


def virtual_host(host: str, port: int) -> str:
    """`reviews.default.svc.cluster.local:9080`."""
    return f"{host}:{port}"


def node_id(pod: Pod) -> str:
    """`sidecar~127.0.1.3~reviews-v1.default~default.svc.cluster.local`; a gateway's starts with `router`."""
    kind = "router" if pod.role == "gateway" else "sidecar"
    return f"{kind}~{pod.address}~{pod.name}.{pod.namespace}~{pod.namespace}.{CLUSTER_DOMAIN}"


def node_cluster(pod: Pod) -> str:
    """`reviews.default`, as istio-proxy names its service cluster (app label, else the workload)."""
    return f"{pod.labels.get('app', pod.workload)}.{pod.namespace}"


def config_path(resource: Resource) -> str:
    """How Istio's metadata names the resource that shaped something: `/apis/networking.istio.io/v1/namespaces/...`."""
    kind = resource.key.kind
    version = resource.body.get("apiVersion") or _GROUP_VERSION.get(kind, "")
    return f"/apis/{version}/namespaces/{resource.key.namespace}/{_KEBAB.get(kind, kind.lower())}/{resource.key.name}"
