"""Listeners: where a proxy takes requests, and the HTTP connection managers behind them, with istiod's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from runner.mesh.local.topology import HTTP_PROXY_PORT
from runner.mesh.local.translate import names
from runner.mesh.local.translate.access_log import access_logs
from runner.mesh.local.translate.authorization_policy import authorization
from runner.mesh.local.translate.gateway import gateway_servers
from runner.mesh.local.translate.model import Message, XdsResource, any_message, extension, socket_address
from runner.mesh.local.translate.service import inbound_route_config
from runner.mesh.local.translate.tls import GATEWAY_XFCC, XFCC, inbound_chains, inbound_mode, policies_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.istio.resource import Resource
    from runner.mesh.local.topology import Pod
    from runner.mesh.local.translate.model import ProxyPaths
    from runner.mesh.local.translate.registry import Registry

_LISTENER = "envoy.config.listener.v3.Listener"
_MANAGER = "envoy.filters.network.http_connection_manager"
_MANAGER_TYPE = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ISTIO_ENVOY = "istio-envoy"
"""The `server` header of gateways and inbound listeners; outbound ones say Envoy's own `envoy`."""

Direction = Literal["INBOUND", "OUTBOUND"]


def sidecar_listeners(registry: Registry, pod: Pod, paths: ProxyPaths) -> Iterator[XdsResource]:
    """A sidecar's listeners: the application's ports, every service port, and the HTTP proxy port."""
    for number in pod.ports:
        yield _inbound(registry, pod, number, paths)
    taken = set(registry.ports)
    for number in registry.ports:
        at = names.listen_port(number)
        if at != number and at in taken:
            continue  # a service with that very port has it; this one can be called through the HTTP proxy port
        services = registry.on_port(number)
        protocols = {port.request_protocol for service in services if (port := service.port(number))}
        manager = _outbound_manager(
            pod,
            paths,
            listener=names.listener(number),
            route=names.sidecar_route(number),
            protocol="grpc" if protocols == {"grpc"} else "http",
        )
        sources = tuple(service.resource for service in services)
        yield _listener(names.listener(number), pod.outbound, at, "OUTBOUND", _one_chain(manager), sources)
    manager = _outbound_manager(
        pod,
        paths,
        listener=names.http_proxy_listener(),
        route=names.HTTP_PROXY,
        protocol="http",
    )
    manager["http_protocol_options"] = {"allow_absolute_url": True}
    yield _listener(names.http_proxy_listener(), pod.outbound, HTTP_PROXY_PORT, "OUTBOUND", _one_chain(manager), ())


def gateway_listeners(registry: Registry, pod: Pod, paths: ProxyPaths) -> Iterator[XdsResource]:
    """A gateway's listeners: one for each port of its Gateways' servers."""
    policies = authorization(registry, pod)
    for number, servers in gateway_servers(registry, pod).items():
        name = names.listener(number)
        protocols = {server.server.port.protocol for server in servers}
        manager = _outbound_manager(
            pod,
            paths,
            listener=name,
            route=names.gateway_route(number),
            protocol="grpc" if protocols == {"GRPC"} else "http",
        )
        manager["use_remote_address"] = True
        manager["server_name"] = _ISTIO_ENVOY
        manager |= GATEWAY_XFCC
        manager["http_filters"] = [*policies.filters, *manager["http_filters"]]
        gateways = {server.gateway_name: server.gateway.resource for server in servers}
        sources = (*gateways.values(), *policies.sources)
        yield _listener(name, pod.address, number, "OUTBOUND", _one_chain(manager), sources)


def _inbound(registry: Registry, pod: Pod, number: int, paths: ProxyPaths) -> XdsResource:
    behind = registry.services_of(pod, number)
    protocol = behind[0][1].request_protocol if behind else "http"
    manager = _manager(pod, paths, names.inbound_stat_prefix(number), "INBOUND", protocol)
    manager["route_config"] = inbound_route_config(number, grpc=protocol == "grpc")
    manager["server_name"] = _ISTIO_ENVOY
    policies = authorization(registry, pod)
    peer, *others = manager["http_filters"]
    manager["http_filters"] = [peer, *policies.filters, *others]
    manager |= XFCC
    chains = inbound_chains(
        inbound_mode(registry, pod, number), _network_filter(manager), names.listener(number), paths
    )
    name = f"{pod.address}_{number}"
    sources = (*(service.resource for service, _ in behind), *policies_of(registry, pod), *policies.sources)
    return _listener(name, pod.address, number, "INBOUND", chains, sources)


def _outbound_manager(pod: Pod, paths: ProxyPaths, *, listener: str, route: str, protocol: str) -> Message:
    manager = _manager(pod, paths, names.outbound_stat_prefix(listener), "OUTBOUND", protocol)
    manager["rds"] = {
        "route_config_name": route,
        "config_source": {
            "path_config_source": {"path": str(paths.route(route))},
            "resource_api_version": "V3",
            "initial_fetch_timeout": "0s",
        },
    }
    return manager


def _manager(pod: Pod, paths: ProxyPaths, stat_prefix: str, direction: Direction, protocol: str) -> Message:
    reporter: Literal["source", "destination"] = "destination" if direction == "INBOUND" else "source"
    return {
        "codec_type": "AUTO",
        "stat_prefix": stat_prefix,
        "normalize_path": True,
        "use_remote_address": False,
        "stream_idle_timeout": "0s",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "access_log": access_logs(pod, reporter, protocol, paths.access_log),
        "http_filters": _http_filters(direction),
    }


def _http_filters(direction: Direction) -> list[Message]:
    filters = [
        extension(
            "envoy.filters.http.grpc_stats",
            "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
            emit_filter_state=True,
            stats_for_all_methods=False,
        ),
        extension("envoy.filters.http.fault", "envoy.extensions.filters.http.fault.v3.HTTPFault"),
        extension("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router"),
    ]
    return [_peer_metadata(), *filters] if direction == "INBOUND" else filters


def _peer_metadata() -> Message:
    """Remember which workload called, before the header that says so is taken off."""
    return extension(
        "envoy.filters.http.set_filter_state",
        "envoy.extensions.filters.http.set_filter_state.v3.Config",
        on_request_headers=[
            {
                "object_key": names.PEER_STATE,
                "factory_key": "envoy.string",
                "format_string": {
                    "text_format_source": {"inline_string": f"%REQ({names.PEER_HEADER})%"},
                    "omit_empty_values": True,
                },
                "skip_if_empty": True,
            }
        ],
    )


def _network_filter(manager: Message) -> Message:
    return extension(_MANAGER, _MANAGER_TYPE, **manager)


def _one_chain(manager: Message) -> Message:
    return {"filter_chains": [{"filters": [_network_filter(manager)]}]}


def _listener(
    name: str, address: str, port: int, direction: Direction, chains: Message, sources: tuple[Resource, ...]
) -> XdsResource:
    config = any_message(
        _LISTENER,
        name=name,
        address=socket_address(address, port),
        traffic_direction=direction,
        **chains,
    )
    return XdsResource(name, config, sources)
