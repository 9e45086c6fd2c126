"""What the embedded mesh can't do though Istio can, said before anything is touched, with file and line.

The models of `runner.istio` refuse fields that are not translated at all; `runner.istio.lint` finds config that can't
work anywhere. Here is what depends on this mesh: no intercepted connections, no TCP routing, no root.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from runner.errors import InputError, Problem
from runner.istio.destination_rule import DestinationRule
from runner.istio.kube import Service
from runner.istio.load import typed
from runner.mesh.local.topology import ADMIN_PORT, HTTP_PROXY_PORT
from runner.mesh.local.translate import names
from runner.mesh.local.translate.registry import Registry, port_protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.istio.destination_rule import TrafficPolicy
    from runner.istio.resource import Resource
    from runner.mesh.local.topology import Topology
    from runner.yamlfile.documents import Loc

SOURCE_ADDRESS = "127.0.0.1"
"""Where Linux has connections to other loopback addresses come from."""
_OURS = {ADMIN_PORT: "Envoy's admin interface", HTTP_PROXY_PORT: "the sidecars' HTTP proxy"}


def check_supported(resources: Sequence[Resource], topology: Topology) -> list[str]:
    """Whether a whole state can be translated for the pods of `topology`.

    Returns:
        Warnings, one sentence each.

    Raises:
        InputError: something can't be; every problem with its place.
    """
    problems: list[Problem] = []
    for resource in resources:
        try:
            spec = typed(resource)
        except InputError as error:
            problems += error.problems
            continue
        if isinstance(spec, Service):
            problems += _service_problems(resource, spec)
        elif isinstance(spec, DestinationRule):
            problems += _rule_problems(resource, spec)
    if problems:
        raise InputError(problems)
    registry = Registry.read(topology, resources)
    problems += _target_problems(registry)
    problems += _gateway_problems(registry)
    if problems:
        raise InputError(problems)
    return [*_service_warnings(registry), *_address_warnings(registry)]


def _service_problems(resource: Resource, spec: Service) -> Iterator[Problem]:
    for index, port in enumerate(spec.ports):
        where = resource.position("spec", "ports", index, "port")
        if port.protocol != "TCP":
            yield Problem(
                f"port {port.port} of the Service {resource.key.name} is {port.protocol}, which "
                "the embedded mesh can't carry",
                where,
                expected="protocol: TCP with HTTP on it",
            )
        elif port_protocol(port) == "tcp":
            said = port.app_protocol or port.name
            yield Problem(
                f'port {port.port} of the Service {resource.key.name} is no HTTP port by its name "{said}", '
                "and the embedded mesh carries HTTP only",
                where,
                expected="a name such as http, http-web, http2 or grpc (or an appProtocol)",
            )
        if port.port in _OURS:
            yield Problem(f"port {port.port} is taken by {_OURS[port.port]}", where, expected="another service port")


def _rule_problems(resource: Resource, spec: DestinationRule) -> Iterator[Problem]:
    for way, policy in _policies(spec):
        places = [(way, policy.load_balancer)]
        places += [
            ((*way, "portLevelSettings", index), special.load_balancer)
            for index, special in enumerate(policy.port_level_settings)
        ]
        for place, balancer in places:
            if balancer and balancer.simple == "PASSTHROUGH":
                yield Problem(
                    "PASSTHROUGH needs the original destination of an intercepted connection, "
                    "which the embedded mesh has not",
                    resource.position("spec", *place, "loadBalancer", "simple"),
                    expected="one of LEAST_REQUEST, ROUND_ROBIN, RANDOM",
                )


def _policies(spec: DestinationRule) -> Iterator[tuple[Loc, TrafficPolicy]]:
    if spec.traffic_policy:
        yield ("trafficPolicy",), spec.traffic_policy
    for index, subset in enumerate(spec.subsets):
        if subset.traffic_policy:
            yield ("subsets", index, "trafficPolicy"), subset.traffic_policy


def _target_problems(registry: Registry) -> Iterator[Problem]:
    for service in registry.services.values():
        spec = typed(service.resource)
        if not isinstance(spec, Service):
            continue
        for index, port in enumerate(spec.ports):
            several = [pod.name for pod in service.pods if len(pod.ports) > 1]
            if isinstance(port.target_port, str) and several:
                yield Problem(
                    f'the embedded mesh does not know which port of {several[0]} is called "{port.target_port}"',
                    service.resource.position("spec", "ports", index, "targetPort"),
                    expected="the port's number",
                )


def _gateway_problems(registry: Registry) -> Iterator[Problem]:
    for gateway in registry.gateways:
        for index, server in enumerate(gateway.spec.servers):
            if server.port.protocol == "GRPC-WEB":
                yield Problem(
                    "GRPC-WEB needs a translation to gRPC that the embedded mesh does not do yet",
                    gateway.resource.position("spec", "servers", index, "port", "protocol"),
                    expected="HTTP, HTTP2 or GRPC",
                )


def _service_warnings(registry: Registry) -> Iterator[str]:
    taken = set(registry.ports)
    for service in registry.services.values():
        for port in service.http_ports:
            at = names.listen_port(port.number)
            place = service.resource.position("spec", "ports")
            if not service.endpoints(port):
                yield (
                    f"{place}: no pod of this mesh listens behind port {port.number} of the Service {service.name}; "
                    "requests to it get 503 (UH)"
                )
            if at != port.number and at in taken:
                yield (
                    f"{place}: port {port.number} of {service.name} can't be served at {at}, where another service is; "
                    "applications reach it through HTTP_PROXY only"
                )


def _address_warnings(registry: Registry) -> Iterator[str]:
    """Addresses in AuthorizationPolicies, which are a cluster's; every connection here comes from this machine."""
    here = ipaddress.ip_address(SOURCE_ADDRESS)
    for bound in registry.authorization_policies:
        for index, rule in enumerate(bound.spec.rules):
            way: Loc = ("spec", "rules", index)
            places: list[tuple[Loc, list[str]]] = [
                ((*way, "from", number, "source", "ipBlocks"), source.ip_blocks)
                for number, source in enumerate(rule.sources)
            ]
            places += [
                ((*way, "when", number, "values"), condition.values)
                for number, condition in enumerate(rule.when)
                if condition.key == "source.ip"
            ]
            for place, blocks in places:
                if blocks and not any(here in ipaddress.ip_network(block, strict=False) for block in blocks):
                    yield (
                        f"{bound.resource.position(*place)}: every connection in the embedded mesh comes from {here}, "
                        "so this never matches here"
                    )
