"""Whether a sidecar keeps a counter: Istio has Envoy keep few stats unless a pod's annotation asks for more.

A stat that is not kept never appears, and reads like one that never moved. The list that counts is the one in the proxy's own
bootstrap (`stats_config.stats_matcher`); pilot-agent makes it of its defaults, the mesh's `proxyStatsMatcher` and the pod's
`proxy.istio.io/config`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runner.istio.hosts import service_host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.mesh.cluster.doctor_facts import Pattern, ServicePort

_CLUSTER_FAMILIES = (
    "upstream_",
    "outlier_detection.",
    "circuit_breakers.",
    "membership_",
    "lb_",
    "retry_or_shadow_abandoned",
    "external.upstream_",
    "internal.upstream_",
    "default.total_match_count",
    "bind_errors",
    "original_dst_host_invalid",
)
"""How stats of a cluster begin (Envoy's cluster statistics)."""
_INBOUND_FAMILIES = ("rbac.", "jwt_authn.")
"""How stats begin of filters that only the side that is asked has."""
_LISTENER_FAMILIES = ("ssl.", "no_filter_chain_match", "downstream_cx_transport_socket_connect_timeout")
"""How stats of a listener begin."""
_HTTP_FAMILIES = ("downstream_", "fault.", "no_route", "no_cluster", "rq_", "tracing.", "passthrough_internal")
"""How stats of an HTTP connection manager and its filters begin."""
_ROOTS = (
    "cluster.",
    "http.",
    "listener.",
    "tcp.",
    "server.",
    "cluster_manager.",
    "listener_manager.",
    "vhost.",
    "istio",
)

INBOUND_PORT = 15006
"""Where a sidecar takes all intercepted connections."""

CLUSTER_PREFIXES = ("cluster.outbound", "cluster.inbound")
HTTP_PREFIXES = ("http.outbound", "http.inbound")


def candidates(stat: str, ports: Sequence[ServicePort], namespace: str) -> list[str]:
    """Full names that a check's stat may be short for, in a sidecar of a namespace; none when that can't be told.

    Args:
        stat: a full name, or an ending of one.
        ports: of the services that traffic may go to.
        namespace: theirs.
    """
    if stat.startswith(_ROOTS):
        return [stat]
    family = stat.rpartition(".")[2] if stat.rpartition(".")[2].startswith(("upstream_", "downstream_")) else stat
    if family.startswith(_CLUSTER_FAMILIES):
        return [f"cluster.outbound|{port.number}||{service_host(port.service, namespace)};.{stat}" for port in ports]
    if family.startswith(_INBOUND_FAMILIES):
        return [f"http.inbound_0.0.0.0_{number};.{stat}" for number in sorted({port.number for port in ports})]
    if family.startswith(_LISTENER_FAMILIES):
        return [f"listener.0.0.0.0_{INBOUND_PORT}.{stat}"]
    if family.startswith(_HTTP_FAMILIES):
        return [f"http.outbound_0.0.0.0_{number};.{stat}" for number in sorted({port.number for port in ports})]
    return []


def is_kept(name: str, kept: Sequence[Pattern] | None) -> bool:
    """Whether a proxy with such a list (None: no list) keeps a stat."""
    return kept is None or any(_matches(name, pattern) for pattern in kept)


def _matches(name: str, pattern: Pattern) -> bool:
    if pattern.how == "prefix":
        return name.startswith(pattern.text)
    if pattern.how == "suffix":
        return name.endswith(pattern.text)
    if pattern.how == "contains":
        return pattern.text in name
    if pattern.how == "exact":
        return name == pattern.text
    try:
        return re.fullmatch(pattern.text, name) is not None
    except re.error:
        return True  # RE2 knows what re does not; a false alarm would be worse


def wanted_prefix(name: str) -> str:
    """What to add to `inclusionPrefixes` so that a stat is kept."""
    for prefix in (*CLUSTER_PREFIXES, *HTTP_PREFIXES, f"listener.0.0.0.0_{INBOUND_PORT}."):
        if name.startswith(prefix):
            return prefix
    return name


def patterns_of(bootstrap: dict[str, object]) -> tuple[Pattern, ...] | None:
    """The list in a proxy's bootstrap; None when it keeps all stats. An exclusion list is as good as none here."""
    from runner.mesh.cluster.doctor_facts import Pattern as Entry  # noqa: PLC0415 - a type above, a class here

    config = bootstrap.get("stats_config")
    matcher = config.get("stats_matcher") if isinstance(config, dict) else None
    inclusion = matcher.get("inclusion_list") if isinstance(matcher, dict) else None
    if not isinstance(inclusion, dict):
        return None
    found = []
    for item in inclusion.get("patterns") or []:
        how, text = next(iter(item.items()))
        found.append(Entry(how, str(text.get("regex") if isinstance(text, dict) else text)))
    return tuple(found)
