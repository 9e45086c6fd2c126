"""Traps in DestinationRules: hosts that are not there, ejection that never ejects, rules that hide each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import Problem
from runner.istio.destination_rule import DEFAULT_MAX_EJECTION_PERCENT
from runner.istio.hosts import host_matches, hosts_overlap
from runner.istio.lint_routes import Trap, unknown_host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.errors import Position
    from runner.istio.destination_rule import DestinationRule, OutlierDetection, TrafficPolicy
    from runner.istio.inventory import Inventory
    from runner.istio.resource import Resource
    from runner.yamlfile.documents import Loc


def lint_destination_rules(inventory: Inventory, used: set[tuple[str, str]]) -> Iterator[Trap]:
    """All traps of all DestinationRules.

    Args:
        inventory: what they may refer to.
        used: (full host, subset) of every destination of a route.
    """
    seen: dict[tuple[str, str], Resource] = {}
    for resource, host, rule in inventory.rules:
        known = [name for name in inventory.services if host_matches(host, name)]
        where = resource.position("spec", "host")
        if not known and not any(hosts_overlap(host, name) for name in inventory.external):
            expected, hint = unknown_host(rule.host, resource.key.namespace, inventory)
            yield "error", Problem(f'no Service has the host "{rule.host}"', where, expected, hint)
        yield from _two_rules(resource, rule, host, seen)
        for name in known:
            yield from _ejection(resource, rule, name, inventory, used)
        for way, outlier in _outliers(rule):
            if outlier.consecutive_errors is not None:
                at = resource.position(*way, "consecutiveErrors", key=True)
                hint = "Use consecutive5xxErrors or consecutiveGatewayErrors"
                yield "warning", Problem("consecutiveErrors is deprecated, and ignored by Istio", at, suggestion=hint)


def _two_rules(
    resource: Resource, rule: DestinationRule, host: str, seen: dict[tuple[str, str], Resource]
) -> Iterator[Trap]:
    """Rules of one host are merged by istiod: of two policies, or subsets with one name, it takes the older one."""
    parts: list[tuple[str, str, Position]] = []
    if rule.traffic_policy is not None:
        parts.append(("", "a trafficPolicy", resource.position("spec", "trafficPolicy", key=True)))
    for index, subset in enumerate(rule.subsets):
        where = resource.position("spec", "subsets", index, "name")
        parts.append((subset.name, f'the subset "{subset.name}"', where))
    for name, what, where in parts:
        other = seen.setdefault((host, name), resource)
        if other is not resource:
            message = f"{other.key} has {what} for the same host: Istio takes the older one"
            yield "warning", Problem(message, where, suggestion=f"The other is at {other.position()}")


def _policies(rule: DestinationRule) -> Iterator[tuple[Loc, TrafficPolicy]]:
    if rule.traffic_policy is not None:
        yield ("spec", "trafficPolicy"), rule.traffic_policy
    for index, subset in enumerate(rule.subsets):
        if subset.traffic_policy is not None:
            yield ("spec", "subsets", index, "trafficPolicy"), subset.traffic_policy


def _outliers(rule: DestinationRule) -> Iterator[tuple[Loc, OutlierDetection]]:
    for way, policy in _policies(rule):
        if policy.outlier_detection is not None:
            yield (*way, "outlierDetection"), policy.outlier_detection
        for index, port in enumerate(policy.port_level_settings):
            if port.outlier_detection is not None:
                yield (*way, "portLevelSettings", index, "outlierDetection"), port.outlier_detection


def _ejection(
    resource: Resource, rule: DestinationRule, host: str, inventory: Inventory, used: set[tuple[str, str]]
) -> Iterator[Trap]:
    """Envoy ejects a host only while that keeps the ejected share within maxEjectionPercent."""
    if not inventory.pods:
        return
    for way, outlier in _outliers(rule):
        percent = outlier.max_ejection_percent
        limit = DEFAULT_MAX_EJECTION_PERCENT if percent is None else percent
        for name, count in _clusters_of(way, rule, host, inventory, used):
            if count > 0 and count * limit < 100:  # noqa: PLR2004 - per cent
                where = resource.position(*way, "maxEjectionPercent") if percent is not None else None
                where = where or resource.position(*way, key=True)
                said = f"maxEjectionPercent {limit}" + (" (the default)" if percent is None else "")
                pods = "1 pod" if count == 1 else f"{count} pods"
                message = f"{said} never ejects any of the {pods} of {name}"
                hint = "Set maxEjectionPercent: 100" if count == 1 else f"Set it to {-(-100 // count)} or more"
                yield "warning", Problem(message, where, suggestion=hint)
                break


def _clusters_of(
    way: Loc, rule: DestinationRule, host: str, inventory: Inventory, used: set[tuple[str, str]]
) -> Iterator[tuple[str, int]]:
    """The clusters that a policy reaches, as name and number of pods: a rule's own policy reaches its subsets too."""
    short = host.split(".", maxsplit=1)[0]
    if way[1] == "subsets":
        subset = rule.subsets[int(way[2])]
        yield f"{short} {subset.name}", inventory.pod_count(host, subset.labels)
        return
    targets = {subset for name, subset in used if name == host}
    if "" in targets or not targets:
        yield short, inventory.pod_count(host)
    for subset in rule.subsets:
        own = subset.traffic_policy.outlier_detection if subset.traffic_policy else None
        if own is None and subset.name in targets:
            yield f"{short} {subset.name}", inventory.pod_count(host, subset.labels)
