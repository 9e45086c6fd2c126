"""Traps in mutual TLS: policies that nothing obeys, that hide each other, and DestinationRules that fight them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import Problem
from runner.istio.hosts import host_matches
from runner.istio.peer_authentication import ROOT_NAMESPACE, effective_mode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.istio.destination_rule import ClientTLSSettings, DestinationRule, TrafficPolicy
    from runner.istio.inventory import Inventory, PodLabels
    from runner.istio.lint_routes import Trap
    from runner.istio.peer_authentication import PeerAuthentication
    from runner.istio.resource import Resource
    from runner.yamlfile.documents import Loc


def lint_peer_authentications(inventory: Inventory) -> Iterator[Trap]:
    """All traps of all PeerAuthentications, and of the TLS settings of DestinationRules."""
    whole: dict[str, Resource] = {}
    for resource, policy in inventory.peer_authentications:
        home = resource.key.namespace
        if policy.labels:
            yield from _workload_policy(resource, policy, inventory)
            continue
        other = whole.setdefault(home, resource)
        if other is not resource:
            reach = "the whole mesh" if home == ROOT_NAMESPACE else f"all of the namespace {home}"
            message = f"{other.key} is for {reach} too: Istio takes the older one"
            yield "warning", Problem(message, resource.position(), suggestion=f"The other is at {other.position()}")
    yield from _two_for_one_workload(inventory)
    for resource, host, rule in inventory.rules:
        yield from _against_the_rule(resource, host, rule, inventory)


def _workload_policy(resource: Resource, policy: PeerAuthentication, inventory: Inventory) -> Iterator[Trap]:
    home = resource.key.namespace
    where = resource.position("spec", "selector", key=True)
    if home == ROOT_NAMESPACE:
        hint = "Leave out the selector for a policy of the whole mesh, or put it into the workload's namespace"
        yield (
            "warning",
            Problem(f"Istio ignores a PeerAuthentication with a selector in {home}", where, suggestion=hint),
        )
        return
    if not inventory.pods:
        return
    chosen = [pod for pod in inventory.pods if policy.concerns(home, pod.namespace, pod.labels)]
    if not any(pod.sidecar for pod in chosen):
        labels = ", ".join(f"{name}={value}" for name, value in policy.labels.items())
        nobody = f"no pod of the namespace {home} has {labels}"
        what = "the pods that it is for have no sidecar" if chosen else nobody
        yield "warning", Problem(f"{what}: this policy changes nothing", where)
        return
    known = sorted({port for pod in chosen for port in pod.ports or ()})
    for port in policy.port_level_mtls:
        if port in known or any(pod.ports is None for pod in chosen):
            continue
        at = resource.position("spec", "portLevelMtls", port, key=True)
        of_service = port in {each.port for pod in chosen for each in inventory.ports_of(pod)}
        trap = "It takes the port that the container listens on, not the Service's" if of_service else None
        message = f"none of its pods listens on port {port}: this entry changes nothing"
        yield "warning", Problem(message, at, "one of " + ", ".join(map(str, known)) if known else None, trap)


def _two_for_one_workload(inventory: Inventory) -> Iterator[Trap]:
    told: set[tuple[int, int]] = set()
    for pod in inventory.pods:
        own = [
            (number, resource)
            for number, (resource, policy) in enumerate(inventory.peer_authentications)
            if policy.labels and policy.concerns(resource.key.namespace, pod.namespace, pod.labels)
        ]
        for number, resource in own[1:]:
            first, other = own[0]
            if (first, number) in told:
                continue
            told.add((first, number))
            labels = ", ".join(f"{name}={value}" for name, value in pod.labels.items())
            message = f"{other.key} is for pods with {labels} too: for those Istio takes the older one"
            yield "warning", Problem(message, resource.position(), suggestion=f"The other is at {other.position()}")


def _against_the_rule(resource: Resource, host: str, rule: DestinationRule, inventory: Inventory) -> Iterator[Trap]:
    """A DestinationRule's word on TLS counts for callers whatever the receiver takes, so the two must fit."""
    behind = [
        pod
        for name, (namespace, service) in inventory.services.items()
        if host_matches(host, name) and service.selector
        for pod in inventory.pods
        if pod.namespace == namespace and service.selector.items() <= pod.labels.items()
    ]
    for way, tls, labels in _settings(rule):
        chosen = [pod for pod in behind if labels.items() <= pod.labels.items()]
        problem = next((text for pod in chosen if (text := _misfit(tls, pod, inventory))), None)
        if problem:
            hint = "Leave tls out: sidecars find out by themselves what each pod takes"
            where = resource.position("spec", *way, "tls", "mode")
            yield "warning", Problem(f"requests will fail with 503: {problem}", where, suggestion=hint)


def _misfit(tls: ClientTLSSettings, pod: PodLabels, inventory: Inventory) -> str | None:
    who = "a pod with " + ", ".join(f"{name}={value}" for name, value in pod.labels.items())
    if not pod.sidecar:
        return f"{who} has no sidecar to take mutual TLS" if tls.mode == "ISTIO_MUTUAL" else None
    policies = [(found.key.namespace, policy) for found, policy in inventory.peer_authentications]
    modes = {effective_mode(policies, pod.namespace, pod.labels, port) for port in pod.ports or (0,)}
    if tls.mode == "DISABLE" and modes == {"STRICT"}:
        return f"{who} takes mutual TLS only (STRICT)"
    if tls.mode == "ISTIO_MUTUAL" and modes == {"DISABLE"}:
        return f"{who} takes plain text only (DISABLE)"
    return None


def _settings(rule: DestinationRule) -> Iterator[tuple[Loc, ClientTLSSettings, dict[str, str]]]:
    """Every `tls` of a rule: the way to what holds it, itself, and the labels of the pods that it reaches."""
    policies: Sequence[tuple[Loc, TrafficPolicy | None, dict[str, str]]] = [
        (("trafficPolicy",), rule.traffic_policy, {}),
        *(
            (("subsets", number, "trafficPolicy"), subset.traffic_policy, subset.labels)
            for number, subset in enumerate(rule.subsets)
        ),
    ]
    for way, policy, labels in policies:
        if policy is None:
            continue
        if policy.tls is not None:
            yield way, policy.tls, labels
        for number, port in enumerate(policy.port_level_settings):
            if port.tls is not None:
                yield (*way, "portLevelSettings", number), port.tls, labels
