"""One proxy's whole config, put together from the registry and the modules for each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.mesh.local.translate.gateway import gateway_routes
from runner.mesh.local.translate.listener import gateway_listeners, sidecar_listeners
from runner.mesh.local.translate.model import Message, ProxyConfig
from runner.mesh.local.translate.registry import Registry
from runner.mesh.local.translate.service import inbound_clusters, outbound_clusters
from runner.mesh.local.translate.sidecar import sidecar_routes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.istio.resource import Resource
    from runner.mesh.local.topology import Pod, Topology
    from runner.mesh.local.translate.model import ProxyPaths


def translate(topology: Topology, resources: Sequence[Resource], pod: Pod, paths: ProxyPaths) -> ProxyConfig:
    """The Envoy config of one pod's proxy.

    Args:
        topology: all pods of the mesh.
        resources: the mesh's whole state, in order of age.
        pod: whose proxy it is.
        paths: the proxy's files (certificates and route configurations are read, and the access log is written there).

    Raises:
        InputError: a resource can't be read; `check_supported` says what can't be translated.
    """
    registry = Registry.read(topology, resources)
    clusters = [*outbound_clusters(registry, pod, paths)]
    if pod.role == "gateway":
        listeners = [*gateway_listeners(registry, pod, paths)]
        routes = [*gateway_routes(registry, pod)]
    else:
        clusters += inbound_clusters(registry, pod)
        listeners = [*sidecar_listeners(registry, pod, paths)]
        used = {_route_name(listener.config) for listener in listeners}
        routes = [route for route in sidecar_routes(registry, pod) if route.name in used]
    return ProxyConfig(tuple(clusters), tuple(listeners), tuple(routes))


def _route_name(listener: Message) -> str | None:
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    name = manager.get("rds", {}).get("route_config_name")
    return str(name) if name else None
