"""Which pods each proxy sends to, as it says itself: its `/clusters`, beside the Services that lead to a pod.

A pod that Kubernetes calls ready reaches the proxies by way of an EndpointSlice and istiod, a moment later, and one that is gone
leaves them so. Until then requests end in 503.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.mesh.cluster.app_ports import AppPort

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runner.mesh.cluster.pods import Pod

EDS = "EDS"
"""The type of clusters whose hosts istiod names; those of headless Services (`ORIGINAL_DST`) have none of their own."""

_OUT_OF_USE = frozenset({"UNHEALTHY", "DRAINING", "TIMEOUT"})
"""Health that istiod gives hosts to which nothing new is sent."""


@dataclass(frozen=True, slots=True)
class Leading:
    """One port of a Service that leads to a pod.

    Attributes:
        service: how Istio's names for the Service's host begin, `ratings.shop.svc.`.
        number: the Service's port.
        target: the pod's.
        protocol: what is spoken there, see `AppPort`; None for what is not TCP.
        local: whether only callers of the same node use it (`internalTrafficPolicy: Local`).
    """

    service: str
    number: int
    target: int
    protocol: str | None
    local: bool = False


@dataclass(frozen=True, slots=True)
class Host:
    """One host of a cluster.

    Attributes:
        address: `IP:PORT`.
        used: whether requests may go there.
        known: whether istiod still counts it among those to be used, whatever the proxy makes of it.
    """

    address: str
    used: bool
    known: bool


def leading_to(pod: Pod, services: Iterable[tuple[str, str, Mapping[str, Any]]]) -> Iterator[Leading]:
    """The ports of Services that lead to a pod.

    Args:
        pod: any.
        services: namespace, name and spec of each.
    """
    for namespace, name, spec in services:
        selector = (spec.get("selector") or {}).items()
        if namespace != pod.namespace or not selector or not selector <= pod.labels.items():
            continue
        for port in spec.get("ports") or []:
            target = port.get("targetPort") or port["port"]
            target = target if isinstance(target, int) else pod.ports.get(target)
            if target is not None:
                word = str(port.get("appProtocol") or str(port.get("name") or "").partition("-")[0]).lower()
                yield Leading(
                    f"{name}.{namespace}.svc.",
                    int(port["port"]),
                    target,
                    word if port.get("protocol", "TCP") == "TCP" else None,
                    spec.get("internalTrafficPolicy") == "Local",
                )


def app_ports(pods: Iterable[Pod], services: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[AppPort]:
    """Where the applications of some pods should listen; gateways, whose ports follow from Istio's config, left out."""
    found = {
        (pod.proxy_id, leads.target): AppPort(pod, leads.target, leads.protocol)
        for pod in pods
        if not pod.gateway
        for leads in leading_to(pod, services)
        if leads.protocol is not None
    }
    return list(found.values())


def hosts(text: str) -> dict[str, dict[str, Host]]:
    """The hosts of every cluster, by its name and by their addresses, out of `/clusters?format=json`.

    Raises:
        ValueError: it is none.
    """
    found: dict[str, dict[str, Host]] = {}
    for cluster in json.loads(text).get("cluster_statuses") or []:
        of = found.setdefault(str(cluster.get("name")), {})
        for status in cluster.get("host_statuses") or []:
            socket = (status.get("address") or {}).get("socket_address") or {}
            health = status.get("health_status") or {}
            known = health.get("eds_health_status", "HEALTHY") not in _OUT_OF_USE
            failed = any(value is True for key, value in health.items() if key.startswith("failed_"))
            address = f"{socket.get('address')}:{socket.get('port_value')}"
            of[address] = Host(address, known and not failed, known)
    return found


def outdated(
    types: Mapping[str, str],
    held: Mapping[str, Mapping[str, Host]],
    node: str,
    came: Iterable[tuple[Pod, Sequence[Leading]]],
    gone: Iterable[tuple[Pod, Sequence[Leading]]],
) -> str:
    """Why a proxy does not send where it should; empty when it does, and when it knows none of the Services concerned.

    Args:
        types: of its clusters, by name.
        held: its clusters' hosts.
        node: where it runs.
        came: pods that it should send to, with what leads to each.
        gone: pods that it should send to no more, whose addresses nobody else has now.
    """
    for pod, leads in gone:
        if any(_still(held, pod, one) for one in leads):
            return f"still sends to {pod.name}, which is gone"
    for pod, leads in came:
        for one in leads:
            why = _not_yet(types, held, pod, one) if node == pod.node or not one.local else ""
            if why:
                return why
    return ""


def _still(held: Mapping[str, Mapping[str, Host]], pod: Pod, one: Leading) -> bool:
    """Whether any cluster of a Service, subsets too, has a pod's address."""
    return any(
        host.known and host.address.rpartition(":")[0] == pod.ip
        for name, of in held.items()
        if _host(name).startswith(one.service)
        for host in of.values()
    )


def _not_yet(types: Mapping[str, str], held: Mapping[str, Mapping[str, Host]], pod: Pod, one: Leading) -> str:
    """Why requests for a Service do not reach a pod; its subsets' hosts come in the same answer of istiod as all hosts do."""
    for name, kind in types.items():
        whole = name.startswith(f"outbound|{one.number}||") and _host(name).startswith(one.service)
        if whole and kind == EDS:
            host = held.get(name, {}).get(f"{pod.ip}:{one.target}")
            if host is None:
                return f"does not send to {pod.name} yet"
            if not host.used:
                return f"takes {pod.name} for unhealthy, by outlier detection or a health check"
    return ""


def _host(cluster: str) -> str:
    """The host in a cluster's name, `outbound|9080|v1|ratings.shop.svc.cluster.local`."""
    return cluster.rpartition("|")[2]
