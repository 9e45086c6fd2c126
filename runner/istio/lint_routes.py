"""Traps in VirtualServices: destinations that are not there, faults that never fire, routes that never match."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from runner.errors import Problem
from runner.istio.hosts import MESH_GATEWAY, full_gateway, full_host, host_matches, hosts_overlap
from runner.yamlfile.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.istio.inventory import Inventory
    from runner.istio.resource import Resource
    from runner.istio.virtual_service import Abort, Delay, Destination, HTTPMatchRequest, HTTPRoute, VirtualService
    from runner.yamlfile.documents import Loc

Trap = tuple[Literal["error", "warning"], Problem]


def lint_virtual_services(inventory: Inventory, used: set[tuple[str, str]]) -> Iterator[Trap]:
    """All traps of all VirtualServices.

    Args:
        inventory: what they may refer to.
        used: filled with (full host, subset) of every destination.
    """
    seen: dict[tuple[str, str], Resource] = {}
    for resource, spec in inventory.virtual_services:
        yield from _gateways(resource, spec, inventory)
        yield from _hosts(resource, spec, inventory, seen)
        for index, route in enumerate(spec.http):
            way: Loc = ("spec", "http", index)
            for place, destination in _destinations(route, way):
                host = full_host(destination.host, resource.key.namespace)
                used.add((host, destination.subset or ""))
                yield from _destination(resource, place, destination, host, inventory)
            yield from _weights(resource, route, way)
            yield from _fault(resource, route, way)
        yield from _never_matched(resource, spec)


def _destinations(route: HTTPRoute, way: Loc) -> Iterator[tuple[Loc, Destination]]:
    for index, part in enumerate(route.route):
        yield (*way, "route", index, "destination"), part.destination
    if route.mirror is not None:
        yield (*way, "mirror"), route.mirror
    for index, mirror in enumerate(route.mirrors):
        yield (*way, "mirrors", index, "destination"), mirror.destination


def unknown_host(host: str, namespace: str, inventory: Inventory) -> tuple[str | None, str | None]:
    """What was expected instead of a host that no Service has, and what was probably meant."""
    names = inventory.names(namespace)
    longer = f"{host}.svc.cluster.local"
    hint = f'Did you mean "{longer}"? Istio completes names without a dot only' if longer in names else None
    short = sorted({name for name in names if "." not in name})
    return ("one of " + ", ".join(short) if short else None), hint or suggest(host, names)


def _destination(
    resource: Resource, place: Loc, destination: Destination, host: str, inventory: Inventory
) -> Iterator[Trap]:
    if host not in inventory.services and inventory.is_external(host):
        return
    if host not in inventory.services:
        expected, hint = unknown_host(destination.host, resource.key.namespace, inventory)
        where = resource.position(*place, "host")
        yield "error", Problem(f'no Service has the host "{destination.host}"', where, expected, hint)
        return
    ports = [port.port for port in inventory.services[host][1].ports]
    if destination.port is not None and destination.port.number not in ports:
        where = resource.position(*place, "port", "number")
        expected = "one of " + ", ".join(map(str, ports))
        yield "error", Problem(f"the Service {destination.host} has no port {destination.port.number}", where, expected)
    if not destination.subset or any(host_matches(pattern, host) for pattern in inventory.unread_rules):
        return
    subsets = inventory.subsets(host)
    where = resource.position(*place, "subset")
    if destination.subset not in subsets:
        message = f'no DestinationRule defines the subset "{destination.subset}" of {destination.host}'
        if subsets:
            expected = "one of " + ", ".join(subsets)
            yield "error", Problem(message, where, expected, suggest(destination.subset, subsets))
        else:
            hint = f"No DestinationRule defines any; requests would get 503 (NC): apply one for {destination.host}"
            yield "error", Problem(message, where, suggestion=hint)
        return
    labels = subsets[destination.subset].labels
    if inventory.pods and not inventory.pod_count(host, labels):
        wanted = ", ".join(f"{name}={value}" for name, value in labels.items()) or "its Service's labels"
        message = f'no pod of {destination.host} is in the subset "{destination.subset}" ({wanted})'
        yield "warning", Problem(message, where, suggestion="Requests would get 503 (UH), no healthy upstream")


def _weights(resource: Resource, route: HTTPRoute, way: Loc) -> Iterator[Trap]:
    if len(route.route) > 1 and not sum(part.weight for part in route.route):
        where = resource.position(*way, "route", key=True)
        message = f"{len(route.route)} destinations whose weights add up to 0"
        yield "error", Problem(message, where, expected="a weight on each, 100 in all")


def _fault(resource: Resource, route: HTTPRoute, way: Loc) -> Iterator[Trap]:
    if route.fault is None:
        return
    faults: list[tuple[str, Delay | Abort | None]] = [("delay", route.fault.delay), ("abort", route.fault.abort)]
    for what, fault in faults:
        if fault is None:
            continue
        where = resource.position(*way, "fault", what, key=True)
        if fault.effective_percent is None:
            hint = "Without one the fault never fires (istio#36303)"
            message = f"this {what} has neither percentage nor percent"
            yield "error", Problem(message, where, "percentage: {value: 100}", hint)
        elif fault.effective_percent == 0:
            yield "warning", Problem(f"this {what} hits 0 % of requests, so it never fires", where)
    for name, given in (("timeout", route.timeout), ("retries", route.retries)):
        if given is not None:
            where = resource.position(*way, name, key=True)
            message = f"{name} beside a fault on the same route: Istio ignores it there (istio#13705)"
            yield "warning", Problem(message, where, suggestion="Put the fault on another hop")


def _gateways(resource: Resource, spec: VirtualService, inventory: Inventory) -> Iterator[Trap]:
    namespace = resource.key.namespace
    named: list[tuple[Loc, str]] = [(("spec", "gateways", index), name) for index, name in enumerate(spec.gateways)]
    bound = {full_gateway(name, namespace) for name in spec.effective_gateways}
    for number, route in enumerate(spec.http):
        for which, match in enumerate(route.match):
            for index, name in enumerate(match.gateways):
                way: Loc = ("spec", "http", number, "match", which, "gateways", index)
                named.append((way, name))
                if full_gateway(name, namespace) not in bound:
                    message = f'this matches nothing: the VirtualService is not bound to the gateway "{name}"'
                    expected = "one of " + ", ".join(spec.effective_gateways)
                    yield "warning", Problem(message, resource.position(*way), expected)
    known = [MESH_GATEWAY, *(key.removeprefix(f"{namespace}/") for key in inventory.gateways)]
    for way, name in named:
        key = full_gateway(name, namespace)
        if name != MESH_GATEWAY and key not in inventory.gateways and key not in inventory.unread_gateways:
            where = resource.position(*way)
            yield (
                "error",
                Problem(f'there is no Gateway "{name}"', where, "one of " + ", ".join(known), suggest(name, known)),
            )


def _hosts(
    resource: Resource, spec: VirtualService, inventory: Inventory, seen: dict[tuple[str, str], Resource]
) -> Iterator[Trap]:
    namespace = resource.key.namespace
    gateways = [full_gateway(name, namespace) for name in spec.effective_gateways]
    for index, written in enumerate(spec.hosts):
        host = full_host(written, namespace)
        where = resource.position("spec", "hosts", index)
        in_mesh = gateways == [MESH_GATEWAY] and not any(hosts_overlap(host, name) for name in inventory.external)
        if in_mesh and not any(host_matches(host, name) for name in inventory.services):
            expected, hint = unknown_host(written, namespace, inventory)
            yield "error", Problem(f'no Service has the host "{written}"', where, expected, hint)
        for gateway in gateways:
            served = inventory.gateways.get(gateway)
            if served is not None:
                names = [name.rpartition("/")[2] for server in served.servers for name in server.hosts]
                if not any(hosts_overlap(name, host) for name in names):
                    message = f'the Gateway {gateway} does not serve the host "{written}"'
                    yield "warning", Problem(message, where, "one of " + ", ".join(names))
            other = seen.setdefault((host, gateway), resource)
            if other is not resource:
                effect = "sidecars follow the older one only" if gateway == MESH_GATEWAY else "their order is undefined"
                message = f'{other.key} has the host "{written}" at the gateway {gateway} too: {effect}'
                yield "warning", Problem(message, where, suggestion=f"The other is at {other.position()}")


def _never_matched(resource: Resource, spec: VirtualService) -> Iterator[Trap]:
    for index, route in enumerate(spec.http[:-1]):
        if not route.match or any(_catches_all(match) for match in route.match):
            line = resource.position("spec", "http", index).line
            where = resource.position("spec", "http", index + 1)
            message = f"never reached: the route at line {line} takes every request"
            yield "warning", Problem(message, where, suggestion="Put the route without a match last")
            return


def _catches_all(match: HTTPMatchRequest) -> bool:
    uri = match.uri
    any_path = uri is None or uri.prefix == "/" or uri.regex in {"*", ".*"}
    other = (
        match.scheme,
        match.method,
        match.authority,
        match.headers,
        match.without_headers,
        match.query_params,
        match.port,
        match.source_labels,
        match.source_namespace,
        match.gateways,
    )
    return any_path and not any(other)
