"""Where load enters an embedded mesh: at the gateway, or through the sidecar of a workload; and what can be wrong with that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import InputError, Problem
from runner.istio.hosts import full_host
from runner.mesh.local.appfile import GATEWAY
from runner.mesh.local.topology import LOW_PORT_OFFSET
from runner.mesh.local.translate import ProxyPaths, translate
from runner.mesh.local.translate.registry import Registry
from runner.spec.model import GATEWAY_NAMES
from runner.yamlfile import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.istio.resource import Resource
    from runner.mesh.local.topology import Pod, Topology
    from runner.mesh.local.translate.registry import MeshService

HTTP_PORT = 80
"""The port of a host that names none."""


def split_host(host: str) -> tuple[str, int]:
    """Name and port of `productpage:9080`.

    Raises:
        ValueError: the port is none.
    """
    name, colon, port = host.partition(":")
    if not colon:
        return name, HTTP_PORT
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):  # noqa: PLR2004 - TCP's ports
        raise ValueError(f'"{port}" is no port')
    return name, int(port)


def workloads_by_service(topology: Topology) -> dict[str, list[str]]:
    """By service (the pods' `app` label), the workloads behind it."""
    services: dict[str, list[str]] = {}
    for pod in topology.pods:
        workloads = services.setdefault(pod.labels.get("app", pod.workload), [])
        if pod.workload not in workloads:
            workloads.append(pod.workload)
    return services


def find_pod(topology: Topology, workload: str) -> Pod:
    """The (first) pod of a workload, a pod's name or a service's name with one workload.

    Raises:
        InputError: there is none.
    """
    wanted = GATEWAY if workload in GATEWAY_NAMES else workload
    for pod in topology.pods:
        if wanted in {pod.name, pod.workload}:
            return pod
    of_app = [pod for pod in topology.pods if pod.labels.get("app") == wanted]
    if len({pod.workload for pod in of_app}) == 1:
        return of_app[0]
    known = ["gateway", *dict.fromkeys(pod.workload for pod in topology.pods if pod.role == "sidecar")]
    raise InputError(
        Problem(
            f'there is no workload "{workload}" in this mesh',
            expected="one of " + ", ".join(known),
            suggestion=suggest(workload, known),
        )
    )


def entry_problems(
    topology: Topology, front: str, resources: Sequence[Resource], source: str, host: str | None
) -> Iterator[tuple[str, Problem]]:
    """What is wrong with a load's `from` and `host`, each under its key.

    Args:
        topology: the mesh.
        front: the service that load from a workload talks to when no host is given.
        resources: the whole state under load.
        source: `from`.
        host: `host`; any will do at the gateway, whose servers may name hosts of their own.
    """
    try:
        pod = find_pod(topology, source)
    except InputError as error:
        yield from (("from", problem) for problem in error.problems)
        return
    if pod.role == "gateway":
        if not translate(topology, resources, pod, ProxyPaths(Path("/nowhere"))).listeners:
            yield "from", Problem("no Gateway with an HTTP server is applied, so nothing can enter at the gateway")
        return
    registry = Registry.read(topology, resources)
    known = [f"{service.name}:{port.number}" for service in registry.services.values() for port in service.http_ports]
    target = host or front
    try:
        name, port = split_host(target)
    except ValueError as error:
        yield "host", Problem(f"{target}: {error}", expected="one of " + ", ".join(known))
        return
    service = _service(registry, name, pod.namespace)
    routed = any(
        full_host(name, pod.namespace) in {full_host(other, rule.namespace) for other in rule.spec.hosts}
        for rule in registry.virtual_services
    )
    if service is None and not routed:
        message = f'no Service has the host "{name}"'
    elif service is not None and not any(port in {one.number, _served(one.number)} for one in service.http_ports):
        message = f"the Service {service.name} has no HTTP port {port}"
    else:
        return
    yield "host", Problem(message, expected="one of " + ", ".join(known), suggestion=suggest(target, known))


def _service(registry: Registry, name: str, namespace: str) -> MeshService | None:
    """The service that a caller in `namespace` means, by any of the forms in which Kubernetes' DNS answers."""
    for service in registry.services.values():
        full = service.host
        local = service.namespace == namespace
        short = f"{service.name}.{service.namespace}"
        if name in {full, short, f"{short}.svc"} or (local and name == service.name):
            return service
    return None


def _served(port: int) -> int:
    return port + LOW_PORT_OFFSET
