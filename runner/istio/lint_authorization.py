"""Traps in AuthorizationPolicies: policies for nobody, values that no request has, ports of which Istio drops a rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import Problem
from runner.istio.authorization_values import DRY_RUN, HEADER, MATCH_ANY, MATCH_ONE, has_template
from runner.istio.lint_identities import lint_identities, lint_plain_text
from runner.istio.peer_authentication import ROOT_NAMESPACE
from runner.yamlfile.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runner.istio.authorization_policy import AuthorizationPolicy, Condition, Operation, Rule, Source
    from runner.istio.inventory import Inventory, PodLabels
    from runner.istio.kube import ServicePort
    from runner.istio.lint_routes import Trap
    from runner.istio.resource import Resource
    from runner.yamlfile.documents import Loc

_Odd = tuple[str, str] | None
"""What is odd about a value and what was meant; None when nothing is."""

_BOOLEANS = frozenset({"1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False"})
"""What Go's ParseBool reads."""


def lint_authorization_policies(inventory: Inventory) -> Iterator[Trap]:
    """All traps of all AuthorizationPolicies.

    Args:
        inventory: pods with their namespaces; ports and service accounts as far as they are known.
    """
    for resource, spec in inventory.authorization_policies:
        home = resource.key.namespace
        pods = [pod for pod in inventory.pods if spec.concerns(home, pod.namespace, pod.labels)]
        yield from _reach(resource, spec, pods, inventory)
        yield from _dry_run(resource)
        for index, rule in enumerate(spec.rules):
            way: Loc = ("spec", "rules", index)
            yield from _contradictions(resource, rule, way)
            for number, operation in enumerate(rule.operations):
                place: Loc = (*way, "to", number, "operation")
                yield from _values(resource, operation, place)
                yield from _ports(resource, operation, place, pods, inventory)
            yield from _no_http(resource, spec, rule, way, pods, inventory)
            yield from lint_identities(resource, rule, way, inventory)
            yield from lint_plain_text(resource, rule, way, pods, inventory)


def _reach(
    resource: Resource, spec: AuthorizationPolicy, pods: Sequence[PodLabels], inventory: Inventory
) -> Iterator[Trap]:
    if not inventory.pods:
        return
    home = resource.key.namespace
    near = [pod for pod in inventory.pods if home in (ROOT_NAMESPACE, pod.namespace)]
    all_known = any(pod.namespace == ROOT_NAMESPACE for pod in inventory.pods)
    if not near:
        if all_known:
            where = resource.position("metadata", "namespace")
            known = sorted({pod.namespace for pod in inventory.pods})
            message = f"no workload is in the namespace {home}, so this policy is for none"
            yield "warning", Problem(message, where, "one of " + ", ".join(known), suggest(home, known))
    elif not pods:
        if home == ROOT_NAMESPACE and not all_known:
            return
        wanted = ", ".join(f"{name}={value}" for name, value in spec.labels.items())
        where = resource.position("spec", "selector", "matchLabels")
        message = f"no workload has the labels {wanted}, so this policy is for none"
        yield "warning", Problem(message, where, suggestion=_nearest(spec.labels, near))
    elif not any(pod.sidecar or pod.namespace == ROOT_NAMESPACE for pod in pods):
        where = resource.position("spec", "selector") if spec.selector else resource.position("metadata", "name")
        hint = "Policies are enforced by the proxy of the workload that is asked"
        yield "warning", Problem("no workload that this policy selects has a sidecar", where, suggestion=hint)


def _nearest(labels: dict[str, str], pods: Sequence[PodLabels]) -> str | None:
    names = {name for pod in pods for name in pod.labels}
    for name, value in labels.items():
        values = {pod.labels[name] for pod in pods if name in pod.labels}
        if not values:
            return suggest(name, sorted(names))
        if value not in values:
            return suggest(value, sorted(values)) or f"{name} is one of {', '.join(sorted(values))}"
    return None


def _dry_run(resource: Resource) -> Iterator[Trap]:
    annotations = resource.body.get("metadata", {}).get("annotations") or {}
    said = annotations.get(DRY_RUN)
    if said is not None and said not in _BOOLEANS:
        where = resource.position("metadata", "annotations", DRY_RUN)
        yield "warning", Problem(f"{DRY_RUN}: {said!r} is no truth value, so the policy is enforced", where, '"true"')


def _contradictions(resource: Resource, rule: Rule, way: Loc) -> Iterator[Trap]:
    """Fields whose every value is excluded again."""
    parts: list[tuple[Loc, Source | Operation | Condition]] = []
    parts += [((*way, "from", number, "source"), source) for number, source in enumerate(rule.sources)]
    parts += [((*way, "to", number, "operation"), operation) for number, operation in enumerate(rule.operations)]
    parts += [((*way, "when", number), condition) for number, condition in enumerate(rule.when)]
    for place, part in parts:
        fields = type(part).model_fields
        for name, info in fields.items():
            values, excluded = getattr(part, name), getattr(part, f"not_{name}", None)
            if isinstance(values, list) and values and excluded and {*values} <= {*excluded}:
                other = fields[f"not_{name}"].alias
                where = resource.position(*place, info.alias or name, key=True)
                yield "warning", Problem(f"never matches: {other} excludes all of {info.alias}", where)


def _values(resource: Resource, operation: Operation, way: Loc) -> Iterator[Trap]:
    """Values that no request has."""
    checks: tuple[tuple[str, list[str], Callable[[str], _Odd]], ...] = (
        ("methods", operation.methods, _odd_method),
        ("notMethods", operation.not_methods, _odd_method),
        ("paths", operation.paths, _odd_path),
        ("notPaths", operation.not_paths, _odd_path),
        ("hosts", operation.hosts, _odd_star),
        ("notHosts", operation.not_hosts, _odd_star),
    )
    for field, values, odd in checks:
        for index, value in enumerate(values):
            found = odd(value)
            if found is not None:
                message, hint = found
                yield "warning", Problem(message, resource.position(*way, field, index), suggestion=hint)


def _odd_method(method: str) -> _Odd:
    if method == method.upper():
        return None
    return (
        f'no request has the method "{method}": methods are written in capitals',
        f'Did you mean "{method.upper()}"?',
    )


def _odd_path(path: str) -> _Odd:
    if not path.startswith(("/", "*", MATCH_ONE, MATCH_ANY)):
        return f'no request has the path "{path}": paths begin with "/"', f'Did you mean "/{path}"?'
    if "?" in path:
        return (
            f'no request has the path "{path}": it is matched without the query',
            f'Did you mean "{path.partition("?")[0]}"?',
        )
    return None if has_template(path) else _odd_star(path)


def _odd_star(value: str) -> _Odd:
    if "*" not in value[1:-1]:
        return None
    return (
        f'the * within "{value}" is no wildcard',
        "Only a * at the start or the end is one"
        + (f"; in paths {MATCH_ONE} stands for a segment" if value[0] == "/" else ""),
    )


def _ports(
    resource: Resource, operation: Operation, way: Loc, pods: Sequence[PodLabels], inventory: Inventory
) -> Iterator[Trap]:
    if not pods or not all(pod.ports for pod in pods):
        return  # a gateway's ports are its Gateways', and a pod of which nothing is said may listen anywhere
    listening = sorted({port for pod in pods for port in pod.ports or ()})
    services = [port for pod in pods for port in inventory.ports_of(pod)]
    for field, values in (("ports", operation.ports), ("notPorts", operation.not_ports)):
        for index, value in enumerate(values):
            if int(value) in listening:
                continue
            where = resource.position(*way, field, index)
            expected = "one of " + ", ".join(f'"{port}"' for port in listening)
            behind = next((port.target_port for port in services if port.port == int(value)), None)
            hint = f"{value} is a Service's port: it leads to {behind}, which is what counts here" if behind else None
            yield "warning", Problem(f"no workload that this selects listens on {value}", where, expected, hint)


def _no_http(
    resource: Resource,
    spec: AuthorizationPolicy,
    rule: Rule,
    way: Loc,
    pods: Sequence[PodLabels],
    inventory: Inventory,
) -> Iterator[Trap]:
    """HTTP's fields in a rule that reaches a port without HTTP: istiod drops the rule (ALLOW) or the field (DENY)."""
    headers = [condition.key for condition in rule.when if condition.key.startswith(HEADER)]
    tcp = {_container_port(port): port for pod in pods for port in inventory.ports_of(pod) if not port.carries_http}
    for number, operation in enumerate(rule.operations):
        used = [
            name
            for name in ("hosts", "not_hosts", "methods", "not_methods", "paths", "not_paths")
            if getattr(operation, name)
        ]
        field = str(type(operation).model_fields[used[0]].alias) if used else ""
        if not field and not headers:
            continue
        named = {int(port) for port in operation.ports}
        for number_of_port, port in tcp.items():
            if number_of_port not in named and (named or spec.action != "DENY"):
                continue
            where = resource.position(*way, "to", number, "operation", field or "ports", key=True)
            what = f'"{field or headers[0]}" is about HTTP, and port {number_of_port} is {port.protocol_word}'
            if spec.action == "ALLOW":
                message = f"{what}: Istio leaves this rule out there, so it allows nothing"
            else:
                message = f"{what}: Istio leaves the field out there, so this is about all of its traffic"
            yield "warning", Problem(message, where, suggestion="Give HTTP and TCP ports rules of their own")


def _container_port(port: ServicePort) -> int:
    return port.target_port if isinstance(port.target_port, int) else port.port
