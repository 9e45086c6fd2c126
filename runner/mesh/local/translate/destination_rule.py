"""DestinationRule: what its traffic policies make of a cluster, and the hash policies that they put on routes.

Defaults are istiod's (`pilot/pkg/networking/core/cluster_traffic_policy.go`): connections and requests without limit
(2^32-1), 10 s to connect, LEAST_REQUEST; outlier detection only where it is asked for, and then without Envoy's panic
threshold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.istio.destination_rule import TrafficPolicy
from runner.mesh.local.translate.model import Message, any_message, duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.istio.destination_rule import (
        ConnectionPoolSettings,
        ConsistentHashLB,
        LoadBalancerSettings,
        OutlierDetection,
        Subset,
        TCPSettings,
    )
    from runner.istio.virtual_service import Destination
    from runner.mesh.local.translate.registry import MergedRule, Protocol

UNLIMITED = 2**32 - 1
CONNECT_TIMEOUT = 10.0
"""Seconds; mesh config's `connectTimeout`."""

MINIMUM_RING_SIZE = 1024
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

_LB_POLICY = {"RANDOM": "RANDOM", "ROUND_ROBIN": "ROUND_ROBIN"}
"""What is not here is LEAST_REQUEST: UNSPECIFIED and the old LEAST_CONN too."""


def policy_for_port(policy: TrafficPolicy | None, port: int) -> TrafficPolicy | None:
    """The policy that holds on one port: a port-level one replaces the destination's, with nothing inherited."""
    special = _port_level(policy, port)
    return special if special is not None else policy


def policy_for_subset(rule: MergedRule, subset: Subset, port: int) -> TrafficPolicy | None:
    """The policy of a subset's cluster: what the subset sets replaces the same part of the rule's own policy."""
    base = policy_for_port(rule.policy, port)
    own = subset.traffic_policy
    if own is None:
        return base
    special = _port_level(own, port)
    if special is not None or base is None:
        return special if special is not None else own
    return TrafficPolicy(
        tls=own.tls or base.tls,
        load_balancer=own.load_balancer or base.load_balancer,
        connection_pool=own.connection_pool or base.connection_pool,
        outlier_detection=own.outlier_detection or base.outlier_detection,
    )


def _port_level(policy: TrafficPolicy | None, port: int) -> TrafficPolicy | None:
    for special in policy.port_level_settings if policy else ():
        if special.port.number == port:
            return TrafficPolicy(
                tls=special.tls,
                load_balancer=special.load_balancer,
                connection_pool=special.connection_pool,
                outlier_detection=special.outlier_detection,
            )
    return None


def outbound_settings(policy: TrafficPolicy | None, protocol: Protocol) -> Message:
    """The fields of an outbound cluster that a traffic policy decides (all of them when there is no policy)."""
    policy = policy or TrafficPolicy()
    settings = {
        **connection_pool_settings(policy.connection_pool, protocol),
        **_load_balancer(policy.load_balancer),
    }
    if policy.outlier_detection is not None:
        settings["outlier_detection"] = _outlier_detection(policy.outlier_detection)
        least = policy.outlier_detection.min_health_percent or 0
        settings["common_lb_config"] = {"healthy_panic_threshold": {"value": least}}
    return settings


def connection_pool_settings(
    pool: ConnectionPoolSettings | None, protocol: Protocol, *, inbound: bool = False
) -> Message:
    """The fields of a cluster that a connection pool decides; the only part of a policy that inbound clusters take.

    Args:
        pool: the policy's.
        protocol: what the port says.
        inbound: the cluster leads to the proxy's own application. `h2UpgradePolicy` is about the way between proxies
            and left out, as in istiod. So is `http1MaxPendingRequests`, which istiod does repeat here: Envoy counts a
            request as pending while its connection is being made, so with a limit of 1 two requests that the caller's
            own breaker let through are now and then refused by the receiver, which the caller then ejects. The limit
            is to be seen at the caller, in its `upstream_rq_pending_overflow`.
    """
    tcp = pool.tcp if pool else None
    http = pool.http if pool else None
    settings: Message = {
        "connect_timeout": duration((tcp and tcp.connect_timeout) or CONNECT_TIMEOUT),
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": (tcp and tcp.max_connections) or UNLIMITED,
                    "max_pending_requests": (not inbound and http and http.http1_max_pending_requests) or UNLIMITED,
                    "max_requests": (http and http.http2_max_requests) or UNLIMITED,
                    "max_retries": (http and http.max_retries) or UNLIMITED,
                    "track_remaining": True,
                }
            ]
        },
    }
    if tcp and tcp.tcp_keepalive:
        settings["upstream_connection_options"] = {"tcp_keepalive": _keepalive(tcp)}
    upgrade = not inbound and http is not None and http.h2_upgrade_policy == "UPGRADE"
    options = _http_protocol_options(pool, http2=upgrade or protocol in {"http2", "grpc"})
    if options:
        settings["typed_extension_protocol_options"] = {HTTP_OPTIONS: any_message(HTTP_OPTIONS, **options)}
    return settings


def _keepalive(tcp: TCPSettings) -> Message:
    keepalive = tcp.tcp_keepalive
    values = {
        "keepalive_probes": keepalive and keepalive.probes,
        "keepalive_time": keepalive and keepalive.time and round(keepalive.time),
        "keepalive_interval": keepalive and keepalive.interval and round(keepalive.interval),
    }
    return {name: value for name, value in values.items() if value}


def _http_protocol_options(pool: ConnectionPoolSettings | None, *, http2: bool) -> Message:
    tcp = pool.tcp if pool else None
    http = pool.http if pool else None
    streams: Message = {}
    if http and http.max_concurrent_streams:
        streams["max_concurrent_streams"] = http.max_concurrent_streams
    common: Message = {}
    idle = (http and http.idle_timeout) or (tcp and tcp.idle_timeout)
    if idle:
        common["idle_timeout"] = duration(idle)
    if http and http.max_requests_per_connection:
        common["max_requests_per_connection"] = http.max_requests_per_connection
    if tcp and tcp.max_connection_duration:
        common["max_connection_duration"] = duration(tcp.max_connection_duration)
    same_as_client = http is not None and http.use_client_protocol
    if not common and not http2 and not same_as_client:
        return {}
    options: Message = {"common_http_protocol_options": common} if common else {}
    if same_as_client:
        options["use_downstream_protocol_config"] = {"http_protocol_options": {}, "http2_protocol_options": streams}
    elif http2:
        options["explicit_http_config"] = {"http2_protocol_options": streams}
    else:
        options["explicit_http_config"] = {"http_protocol_options": {}}
    return options


def _load_balancer(settings: LoadBalancerSettings | None) -> Message:
    consistent = settings.consistent_hash if settings else None
    if consistent is None:
        return {"lb_policy": _LB_POLICY.get((settings and settings.simple) or "", "LEAST_REQUEST")}
    if consistent.maglev is not None:
        size = consistent.maglev.table_size
        return {"lb_policy": "MAGLEV", **({"maglev_lb_config": {"table_size": size}} if size else {})}
    if consistent.ring_hash is not None:
        size = consistent.ring_hash.minimum_ring_size
        return {"lb_policy": "RING_HASH", **({"ring_hash_lb_config": {"minimum_ring_size": size}} if size else {})}
    size = consistent.minimum_ring_size or MINIMUM_RING_SIZE
    return {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": size}}


def _outlier_detection(outlier: OutlierDetection) -> Message:
    settings: Message = {"enforcing_success_rate": 0}
    if outlier.consecutive_5xx_errors is not None:
        settings["consecutive_5xx"] = outlier.consecutive_5xx_errors
        settings["enforcing_consecutive_5xx"] = 100 if outlier.consecutive_5xx_errors else 0
    if outlier.consecutive_gateway_errors is not None:
        settings["consecutive_gateway_failure"] = outlier.consecutive_gateway_errors
        settings["enforcing_consecutive_gateway_failure"] = 100 if outlier.consecutive_gateway_errors else 0
    if outlier.interval is not None:
        settings["interval"] = duration(outlier.interval)
    if outlier.base_ejection_time is not None:
        settings["base_ejection_time"] = duration(outlier.base_ejection_time)
    if outlier.max_ejection_percent:
        settings["max_ejection_percent"] = outlier.max_ejection_percent
    if outlier.split_external_local_origin_errors:
        settings["split_external_local_origin_errors"] = True
        settings["enforcing_local_origin_success_rate"] = 0
        if outlier.consecutive_local_origin_failures:
            settings["consecutive_local_origin_failure"] = outlier.consecutive_local_origin_failures
            settings["enforcing_consecutive_local_origin_failure"] = 100
    return settings


def hash_for_destination(rule: MergedRule | None, destination: Destination) -> ConsistentHashLB | None:
    """The consistent hash that a route to `destination` needs.

    istiod takes the subset's port-level hash, else the subset's, else the rule's port-level one, else the rule's.
    """
    if rule is None:
        return None
    port = destination.port.number if destination.port else None
    subset = rule.subset(destination.subset)
    own = subset.traffic_policy if subset else None
    return _port_hash(own, port) or _hash(own) or _port_hash(rule.policy, port) or _hash(rule.policy)


def hash_for_service(rule: MergedRule | None, port: int) -> ConsistentHashLB | None:
    """The consistent hash of a service's own route, the one without a VirtualService."""
    if rule is None:
        return None
    return _port_hash(rule.policy, port) or _hash(rule.policy)


def _hash(policy: TrafficPolicy | None) -> ConsistentHashLB | None:
    return policy.load_balancer.consistent_hash if policy and policy.load_balancer else None


def _port_hash(policy: TrafficPolicy | None, port: int | None) -> ConsistentHashLB | None:
    return None if port is None else _hash(_port_level(policy, port))


def hash_policies(hashes: Sequence[ConsistentHashLB | None]) -> list[Message]:
    """A route's `hash_policy` for its destinations' consistent hashes."""
    return [policy for consistent in hashes if consistent and (policy := _hash_policy(consistent))]


def _hash_policy(consistent: ConsistentHashLB) -> Message:
    if consistent.http_header_name is not None:
        return {"header": {"header_name": consistent.http_header_name}}
    if consistent.http_cookie is not None:
        cookie = consistent.http_cookie
        policy: Message = {"name": cookie.name}
        if cookie.ttl is not None:
            policy["ttl"] = duration(cookie.ttl)
        if cookie.path is not None:
            policy["path"] = cookie.path
        return {"cookie": policy}
    if consistent.http_query_parameter_name is not None:
        return {"query_parameter": {"name": consistent.http_query_parameter_name}}
    return {"connection_properties": {"source_ip": bool(consistent.use_source_ip)}}
