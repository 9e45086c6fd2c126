"""Pods for load generators in a cluster: planned as a Job, started beside the app, reached by exec, and taken away again."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import InputError, MeshError, Problem
from runner.mesh.base import Entry, Generators
from runner.mesh.cluster.api import segment
from runner.mesh.cluster.app import injection_labels
from runner.mesh.cluster.connect import IN_CLUSTER
from runner.mesh.cluster.entry import find_port, no_gateway
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.inside import FRONT, workload_pod
from runner.mesh.cluster.job import CONTAINER, GENERATOR, OUTSIDE, Place, job_body, place_of
from runner.mesh.cluster.job_pods import job_resource
from runner.mesh.cluster.remote import tunnel_line
from runner.spec.load_profile import GATEWAY_NAMES
from runner.spec.mesh import GENERATOR_CPU_VARIABLE, GENERATOR_IMAGE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.istio.resource import Resource
    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.inventory import Inventory
    from runner.mesh.cluster.job_pods import Jobs
    from runner.spec.mesh import GeneratorPods

_IDLE = 300
"""Seconds that a pod waits for a run that says nothing any more, beyond what the run may wait for its pods."""
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def plan_job(
    jobs: Jobs,
    pods: GeneratorPods,
    inventory: Inventory,
    namespace_labels: Mapping[str, str],
    selectors: Sequence[Mapping[str, str]],
    source: str,
    number: int,
    hold: tuple[str, ...],
) -> Generators:
    """The Job for a load, not made yet.

    Args:
        jobs: the namespace's.
        pods: what the experiment says about them.
        inventory: what runs there.
        namespace_labels: the namespace's own.
        selectors: of the namespace's Services.
        source: where the load leaves from: a workload, or the gateway for outside.
        number: of pods.
        hold: the command of each; the seconds that it waits for a run are put after it.

    Raises:
        InputError: no image is known, or the workload has no pod.
        MeshError: the API server can't be asked.
    """
    notes: tuple[str, ...] = ()
    place, avoid = OUTSIDE, [(pod.namespace, pod.labels) for pod in inventory.gateways[:1]]
    if source not in GATEWAY_NAMES:
        place = _place(jobs, inventory, namespace_labels, selectors, source)
        avoid = []
        if place.lost:
            one = f"the load generators' pods take the place of {source} without {', '.join(place.lost)} among their labels, "
            notes = (one + "by which a Service would send them requests: what selects by that does not see them",)
    image = pods.image or os.environ.get(GENERATOR_IMAGE_VARIABLE) or _own_image(jobs.api)
    if not image:
        raise InputError(
            Problem(
                "it is not known which image load generators in pods run",
                expected="mesh: {cluster: {generators: {image: ...}}}, with what `docker build -f deploy/Dockerfile` gave",
                suggestion=f"{GENERATOR_IMAGE_VARIABLE} names it for all experiments",
            )
        )
    name = f"meshtrial-load-{secrets.token_hex(4)}"
    command = (*hold, str(int(pods.wait) + _IDLE))
    sized = pods.model_copy(update={"cpu": pods.cpu or os.environ.get(GENERATOR_CPU_VARIABLE)})
    body = job_body(name, jobs.namespace, number, command, image, sized, place, _selected(avoid))
    return Generators(job_resource(body, jobs.api.context), image, number, source, notes)


def _place(
    jobs: Jobs,
    inventory: Inventory,
    namespace_labels: Mapping[str, str],
    selectors: Sequence[Mapping[str, str]],
    source: str,
) -> Place:
    pod = workload_pod(inventory.pods, source)
    if pod is None:
        raise InputError(Problem(f"from: {source}: it has no running pod"))
    raw = jobs.api.get(f"/api/v1/namespaces/{segment(pod.namespace)}/pods/{segment(pod.name)}")
    injection = injection_labels(namespace_labels, {pod.revision}) if pod.proxied else OUTSIDE.labels
    return place_of(pod.workload, raw, selectors, injection)


def _selected(avoid: Sequence[tuple[str, Mapping[str, str]]]) -> list[tuple[str, dict[str, str]]]:
    """Gateways by the labels that all pods of theirs have."""
    return [
        (namespace, {key: value for key, value in labels.items() if not key.startswith("pod-template-hash")})
        for namespace, labels in avoid
    ]


def _own_image(api: Api) -> str:
    """What the pod runs that this command runs in; empty elsewhere."""
    if api.context != IN_CLUSTER:
        return ""
    try:
        namespace = _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
        pod = api.get(f"/api/v1/namespaces/{segment(namespace)}/pods/{segment(socket.gethostname())}")
    except (OSError, StatusError):
        return ""
    return str(pod["spec"]["containers"][0]["image"])


def start_jobs(
    jobs_in: Callable[[str], Jobs], wanted: Sequence[Generators], limit: float, check: Callable[[], None]
) -> list[list[tuple[str, ...]]]:
    """Make the Jobs, each in its namespace; what reaches into each of their pods once all are ready.

    Raises:
        MeshError: one can't be made, or a pod can't run.
    """
    for one in wanted:
        jobs_in(one.resource.key.namespace).make(one.resource)
    reached = []
    for one in wanted:
        jobs = jobs_in(one.resource.key.namespace)
        names = jobs.wait(one.resource, limit, check)
        reached.append([tunnel_line(jobs.api.context, jobs.namespace, name, CONTAINER) for name in names])
    return reached


def refuse_bare(inventory: Inventory, wanted: Sequence[Generators]) -> None:
    """Check that pods that take a workload's place have a sidecar as it has.

    Raises:
        MeshError: they don't.
    """
    inside = {one.resource.key.name: one.source for one in wanted if one.source not in GATEWAY_NAMES}
    for pod in inventory.pods:
        source = inside.get(pod.labels.get(GENERATOR, ""))
        theirs = workload_pod(inventory.pods, source) if source else None
        if theirs and theirs.proxied and not pod.proxied:
            raise MeshError(
                f"the load generators' pod {pod.name}, which takes the place of {source}, got no sidecar",
                advice="`istioctl x check-inject` says which webhook should have given it one",
            )


def inside_url(inventory: Inventory, resources: Sequence[Resource], source: str, host: str | None) -> Entry:
    """Where pods of the cluster send a load's requests.

    Raises:
        InputError: there is no gateway, or no Service leads to it.
    """
    if source not in GATEWAY_NAMES:
        return Entry(f"http://{host or FRONT}")
    port = find_port(resources, inventory.gateways, inventory.services)
    if port is None:
        raise no_gateway()
    if not port.cluster_address or port.service_port is None:
        raise InputError(
            Problem(
                "no Service with an address inside the cluster leads to the gateway, so workers in pods can't reach it",
                expected="a Service before the gateway; or no workers, so that the load comes from this machine",
            )
        )
    address = f"[{port.cluster_address}]" if ":" in port.cluster_address else port.cluster_address
    return Entry(f"http://{address}:{port.service_port}", {"Host": host} if host else {})
