"""Where load enters an embedded mesh, and what can be wrong with that.

At the gateway, through the sidecar of a workload, or, from a workload without one, straight at a service's pod.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import InputError, Problem
from runner.istio.hosts import full_host
from runner.mesh.local.appfile import GATEWAY
from runner.mesh.local.topology import LOW_PORT_OFFSET, workload_name
from runner.mesh.local.translate import ProxyPaths, translate
from runner.mesh.local.translate.registry import Registry
from runner.spec.load_profile import GATEWAY_NAMES
from runner.yamlfile.problems import suggest

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
    """By service (the pods' `app` label), the workloads behind it; those without a proxy have nothing to tell, and are left out."""
    services: dict[str, list[str]] = {}
    for pod in topology.proxied:
        name = pod.labels.get("app", pod.workload)
        workloads = services.setdefault(name if pod.role == "gateway" else workload_name(name, pod.namespace), [])
        if pod.called not in workloads:
            workloads.append(pod.called)
    return services


def find_pod(topology: Topology, workload: str) -> Pod:
    """The (first) pod of a workload, a pod's name or a service's name with one workload.

    Raises:
        InputError: there is none.
    """
    wanted = GATEWAY if workload in GATEWAY_NAMES else workload
    for pod in topology.pods:
        if wanted in {pod.name, pod.called}:
            return pod
    of_app = [pod for pod in topology.pods if "app" in pod.labels and _app_name(pod) == wanted]
    if len({pod.called for pod in of_app}) == 1:
        return of_app[0]
    known = ["gateway", *dict.fromkeys(pod.called for pod in topology.pods if pod.role != "gateway")]
    raise InputError(
        Problem(
            f'there is no workload "{workload}" in this mesh',
            expected="one of " + ", ".join(known),
            suggestion=suggest(workload, known),
        )
    )


def _app_name(pod: Pod) -> str:
    return workload_name(pod.labels["app"], pod.namespace)


def direct_url(topology: Topology, resources: Sequence[Resource], pod: Pod, host: str) -> str:
    """Where a workload without a sidecar reaches a service: its (first) pod, past every route of the mesh.

    Kubernetes would spread a client's connections over the service's pods.

    Raises:
        InputError: there is no such service, or nobody behind it.
    """
    registry = Registry.read(topology, resources)
    name, number = split_host(host)
    service = _service(registry, name, pod.namespace)
    port = service.port(number) if service else None
    endpoints = service.endpoints(port) if service and port else []
    if not endpoints:
        raise InputError(Problem(f"no pod is behind {host}, which {pod.called} would talk to without a sidecar"))
    return f"http://{endpoints[0].pod.address}:{endpoints[0].port}"


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
    known = [
        f"{service.name if service.namespace == pod.namespace else f'{service.name}.{service.namespace}'}:{port.number}"
        for service in registry.services.values()
        for port in service.http_ports
    ]
    target = host or front
    try:
        name, port = split_host(target)
    except ValueError as error:
        yield "host", Problem(f"{target}: {error}", expected="one of " + ", ".join(known))
        return
    service = _service(registry, name, pod.namespace)
    routed = pod.proxied and any(
        full_host(name, pod.namespace) in {full_host(other, rule.namespace) for other in rule.spec.hosts}
        for rule in registry.virtual_services
    )
    if service is None and not routed:
        message = f'no Service has the host "{name}"'
    elif service is not None and not any(port in _ports_for(pod, one.number) for one in service.http_ports):
        message = f"the Service {service.name} has no HTTP port {port}"
    elif service is not None and not pod.proxied and not any(map(service.endpoints, service.http_ports)):
        message = f"no pod is behind the Service {service.name}"
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


def _ports_for(pod: Pod, port: int) -> set[int]:
    """The ports at which a caller finds a service's: its own, and where sidecars serve it here."""
    return {port, port + LOW_PORT_OFFSET} if pod.proxied else {port}
