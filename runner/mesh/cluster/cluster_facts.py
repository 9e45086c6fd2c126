"""What a DestinationRule says about each cluster of its service, beside what a proxy's cluster says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.units import parse_duration

if TYPE_CHECKING:
    from runner.istio.destination_rule import (
        ConnectionPoolSettings,
        DestinationRule,
        OutlierDetection,
        PortTrafficPolicy,
        TrafficPolicy,
    )

UNLIMITED = 4294967295
"""What istiod writes where a rule sets no limit."""

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

Value = float | None


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """Limits and ejection of one cluster, by Envoy's names; None where there is none, durations in seconds."""

    values: dict[str, Value]

    def difference(self, found: ClusterFacts) -> str | None:
        """The first value in which a proxy's cluster differs; None when there is none."""
        for name, wanted in self.values.items():
            here = found.values.get(name)
            if wanted is None and here is None:
                continue
            if wanted is None or here is None or not math.isclose(wanted, here, abs_tol=0.0005):
                return f"{name} {_shown(here)} instead of {_shown(wanted)}"
        return None


def _shown(value: Value) -> str:
    return "unset" if value is None else f"{value:g}"


def wanted_cluster(rule: DestinationRule, subset: str, port: int) -> ClusterFacts:
    """What a rule says about the cluster of a subset (empty: the whole service) and port."""
    policies = [rule.traffic_policy] if rule.traffic_policy else []
    policies += [item.traffic_policy for item in rule.subsets if item.name == subset and item.traffic_policy]
    pool: ConnectionPoolSettings | None = None
    outlier: OutlierDetection | None = None
    ports: PortTrafficPolicy | None = None
    for policy in policies:
        pool = policy.connection_pool or pool
        outlier = policy.outlier_detection or outlier
        ports = _of_port(policy, port) or ports
    if ports is not None:
        pool, outlier = ports.connection_pool, ports.outlier_detection
    return ClusterFacts({**_pool(pool), **_outlier(outlier)})


def _of_port(policy: TrafficPolicy, port: int) -> PortTrafficPolicy | None:
    return next((item for item in policy.port_level_settings if item.port.number == port), None)


def _pool(pool: ConnectionPoolSettings | None) -> dict[str, Value]:
    tcp, http = (pool.tcp, pool.http) if pool else (None, None)
    return {
        "max_connections": (tcp.max_connections if tcp else None) or None,
        "max_pending_requests": (http.http1_max_pending_requests if http else None) or None,
        "max_requests": (http.http2_max_requests if http else None) or None,
        "max_retries": (http.max_retries if http else None) or None,
        "max_requests_per_connection": (http.max_requests_per_connection if http else None) or None,
    }


def _outlier(outlier: OutlierDetection | None) -> dict[str, Value]:
    if outlier is None:
        return {"outlier_detection": None}
    values: dict[str, Value] = {"outlier_detection": 1.0}
    for name, value in (
        ("consecutive_5xx", outlier.consecutive_5xx_errors),
        ("consecutive_gateway_failure", outlier.consecutive_gateway_errors),
        ("interval", outlier.interval),
        ("base_ejection_time", outlier.base_ejection_time),
        ("max_ejection_percent", outlier.max_ejection_percent),
    ):
        if value:
            values[name] = float(value)
    return values


def found_cluster(cluster: dict[str, Any]) -> ClusterFacts:
    """The same of a cluster in a proxy's config."""
    listed = (cluster.get("circuit_breakers") or {}).get("thresholds") or [{}]
    thresholds: dict[str, Any] = listed[0]
    values: dict[str, Value] = {
        name: None if thresholds.get(name) in {None, UNLIMITED} else float(thresholds[name])
        for name in ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    }
    options = (cluster.get("typed_extension_protocol_options") or {}).get(_OPTIONS) or {}
    per_connection = (options.get("common_http_protocol_options") or {}).get("max_requests_per_connection")
    values["max_requests_per_connection"] = float(per_connection) if per_connection else None
    outlier = cluster.get("outlier_detection")
    values["outlier_detection"] = None if outlier is None else 1.0
    for name in ("consecutive_5xx", "consecutive_gateway_failure", "max_ejection_percent"):
        if (outlier or {}).get(name) is not None:
            values[name] = float((outlier or {})[name])
    for name in ("interval", "base_ejection_time"):
        if (outlier or {}).get(name) is not None:
            values[name] = parse_duration(str((outlier or {})[name]))
    return ClusterFacts(values)
