"""What a VirtualService says about each of its routes, and what a proxy's routes say: the same facts, so that they can be compared.

Only facts that Envoy keeps in a plain form are taken: where requests go in which shares, timeout, faults, mirrors, what is matched
in the path. A fact that can't be told from the resource is left open, never guessed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.istio.hosts import full_host
from runner.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.istio.virtual_service import HTTPMatchRequest, HTTPRoute, VirtualService

_FAULT = "envoy.filters.http.fault"
_DENOMINATORS = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}

Target = tuple[str, str, float]
"""Full host, subset (empty without one), share of a hundred."""


@dataclass(frozen=True, slots=True)
class RouteFact:
    """What one route does.

    Attributes:
        path: how its path is matched and with what: `exact /login`; None when that is not looked at.
        targets: where requests go; empty for a redirect or a direct answer.
        timeout: seconds, 0 for none; None when it is not looked at.
        delay: share of a hundred, and seconds.
        abort: share of a hundred, and status.
        mirrors: where copies go.
        optional: a proxy may lack it: its match names who calls, or it can never be reached.
    """

    path: str | None
    targets: tuple[Target, ...] = ()
    timeout: float | None = None
    delay: tuple[float, float] | None = None
    abort: tuple[float, str] | None = None
    mirrors: tuple[Target, ...] = ()
    optional: bool = False

    def agrees(self, found: RouteFact) -> bool:
        """Whether a proxy's route is this one."""
        return (
            (self.path is None or found.path is None or self.path == found.path)
            and _near(self.targets, found.targets)
            and (self.timeout is None or math.isclose(self.timeout, found.timeout or 0.0, abs_tol=0.0005))
            and _near(self.delay, found.delay)
            and _near(self.abort, found.abort)
            and _near(self.mirrors, found.mirrors)
        )


def wanted_routes(spec: VirtualService, namespace: str) -> list[RouteFact]:
    """The routes that a VirtualService asks for, in order: one for each match of each rule."""
    facts: list[RouteFact] = []
    unreachable = False
    for rule in spec.http:
        matches: list[HTTPMatchRequest | None] = [*rule.match] or [None]
        for match in matches:
            conditional = match is not None and bool(
                match.source_labels or match.source_namespace or match.gateways or match.port
            )
            facts.append(_wanted(rule, match, namespace, optional=conditional or unreachable))
            if match is None or _catches_all(match):
                unreachable = unreachable or not conditional
    return facts


def _catches_all(match: HTTPMatchRequest) -> bool:
    others = (match.scheme, match.method, match.authority, match.headers, match.without_headers, match.query_params)
    if any(others):
        return False
    uri = match.uri
    return uri is None or uri.prefix == "/" or uri.regex in {".*", "*"}


def _wanted(rule: HTTPRoute, match: HTTPMatchRequest | None, namespace: str, *, optional: bool) -> RouteFact:
    several = len(rule.route) > 1
    parts = [part for part in rule.route if part.weight or not several]
    total = sum(part.weight for part in parts)
    targets = tuple(
        sorted(
            (
                full_host(part.destination.host, namespace),
                part.destination.subset or "",
                100.0 * part.weight / total if several and total and len(parts) > 1 else 100.0,
            )
            for part in parts
        )
    )
    delay = rule.fault.delay if rule.fault else None
    abort = rule.fault.abort if rule.fault else None
    return RouteFact(
        path=_path(match),
        targets=targets,
        timeout=(rule.timeout or 0.0) if rule.route else None,
        delay=(delay.effective_percent or 0.0, delay.fixed_delay) if delay else None,
        abort=(abort.effective_percent or 0.0, str(abort.http_status or f"gRPC {abort.grpc_status}"))
        if abort
        else None,
        mirrors=tuple(
            sorted(
                (full_host(item.destination.host, namespace), item.destination.subset or "", item.effective_percent)
                for item in rule.all_mirrors()
                if item.effective_percent
            )
        ),
        optional=optional,
    )


def _path(match: HTTPMatchRequest | None) -> str | None:
    if match is None:
        return "prefix /"
    if match.uri is None:
        return "prefix /"
    for kind, value in (("exact", match.uri.exact), ("prefix", match.uri.prefix), ("regex", match.uri.regex)):
        if value is not None:
            return f"{kind} {value}"
    return None


def found_route(route: dict[str, Any]) -> RouteFact:
    """What a route in a proxy's config does."""
    action = route.get("route") or {}
    clusters = (action.get("weighted_clusters") or {}).get("clusters")
    if clusters is None:
        named = [(str(action["cluster"]), 1)] if action.get("cluster") else []
    else:
        named = [(str(item["name"]), int(item.get("weight") or 0)) for item in clusters]
    total = sum(weight for _, weight in named) or 1
    targets = [(*_host_and_subset(name), 100.0 * weight / total) for name, weight in named if weight]
    fault = (route.get("typed_per_filter_config") or {}).get(_FAULT) or {}
    delay, abort = fault.get("delay"), fault.get("abort")
    mirrors = [
        (*_host_and_subset(str(item["cluster"])), _share((item.get("runtime_fraction") or {}).get("default_value")))
        for item in action.get("request_mirror_policies") or []
        if item.get("cluster")
    ]
    return RouteFact(
        path=_found_path(route.get("match") or {}),
        targets=tuple(sorted(targets)),
        timeout=_seconds(action.get("timeout")) if action else None,
        delay=(_share(delay.get("percentage")), _seconds(delay.get("fixed_delay"))) if delay else None,
        abort=(_share(abort.get("percentage")), _status(abort)) if abort else None,
        mirrors=tuple(sorted(mirrors)),
    )


def _found_path(match: dict[str, Any]) -> str | None:
    for kind, key in (("exact", "path"), ("prefix", "prefix"), ("prefix", "path_separated_prefix")):
        if match.get(key):
            return f"{kind} {match[key]}"
    regex = (match.get("safe_regex") or {}).get("regex")
    return f"regex {regex}" if regex else None


def _host_and_subset(cluster: str) -> tuple[str, str]:
    """Of `outbound|9080|v1|reviews.default.svc.cluster.local`."""
    parts = cluster.split("|")
    return (parts[3], parts[2]) if len(parts) == 4 else (cluster, "")  # noqa: PLR2004 - the form above


def _share(fraction: dict[str, Any] | None) -> float:
    if fraction is None:
        return 100.0
    return 100.0 * int(fraction.get("numerator") or 0) / _DENOMINATORS[str(fraction.get("denominator") or "HUNDRED")]


def _status(abort: dict[str, Any]) -> str:
    return str(abort.get("http_status") or f"gRPC {abort.get('grpc_status')}")


def _seconds(text: Any) -> float:
    return parse_duration(str(text)) if text else 0.0


def _near(one: Any, other: Any) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_near, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return one is not None and other is not None and math.isclose(one, other, abs_tol=0.01)
    return bool(one == other)


def difference(wanted: Sequence[RouteFact], found: Sequence[RouteFact]) -> str | None:
    """Where a proxy's routes are not the wanted ones; None when they are, those that a proxy may lack aside."""
    place = 0
    for fact in found:
        while place < len(wanted) and not wanted[place].agrees(fact) and wanted[place].optional:
            place += 1
        if place == len(wanted):
            return f"a route too many ({_words(fact)})"
        if not wanted[place].agrees(fact):
            return f"{_words(fact)} instead of {_words(wanted[place])}"
        place += 1
    missing = next(_required(wanted[place:]), None)
    return f"no route yet with {_words(missing)}" if missing else None


def _required(facts: Sequence[RouteFact]) -> Iterator[RouteFact]:
    return (fact for fact in facts if not fact.optional)


def _words(fact: RouteFact) -> str:
    parts = [fact.path or "any path"]
    parts += [
        f"to {host.partition('.')[0]}{' ' + subset if subset else ''} {share:.0f} %"
        for host, subset, share in fact.targets
    ]
    if fact.timeout:
        parts.append(f"timeout {fact.timeout:g} s")
    if fact.delay:
        parts.append(f"delay {fact.delay[1]:g} s for {fact.delay[0]:g} %")
    if fact.abort:
        parts.append(f"abort {fact.abort[1]} for {fact.abort[0]:g} %")
    parts += [f"mirror to {host.partition('.')[0]} {subset}" for host, subset, _ in fact.mirrors]
    return ", ".join(parts)
