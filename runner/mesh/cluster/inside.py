"""Where load leaves from inside a cluster: a container beside a sidecar, in which a generator is run by exec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import InputError, Problem
from runner.mesh.base import Entry
from runner.mesh.cluster.pods import LOAD_FROM
from runner.mesh.cluster.remote import command_line
from runner.yamlfile.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from runner.mesh.cluster.pods import Pod

FRONT = "productpage:9080"
"""What load from a workload asks for when `load.host` does not say: Bookinfo's front service."""


def inside_problems(
    pods: Sequence[Pod], source: str, host: str | None, services: Collection[str]
) -> list[tuple[str, Problem]]:
    """What is wrong with a load's `from` and `host` where it leaves from a workload, each under its key."""
    problems = []
    workloads = sorted({pod.workload for pod in pods if not pod.gateway})
    if workload_pod(pods, source) is None:
        expected = "gateway or one of " + ", ".join(workloads)
        problem = Problem(f"{source} has no running pod", None, expected, suggest(source, workloads))
        problems.append(("from", problem))
    if host is None and FRONT.partition(":")[0] not in services:
        problem = Problem(f"from: {source}: it is not known which service is meant", None, "host: SERVICE:PORT")
        problems.append(("host", problem))
    return problems


def inside_entry(context: str, pods: Sequence[Pod], source: str, host: str | None) -> Entry:
    """Where requests go, and what has a command line run in a pod of a workload, beside its sidecar.

    Raises:
        InputError: no pod of it is ready.
    """
    pod = workload_pod(pods, source)
    if pod is None:
        raise InputError(Problem(f"from: {source}: it has no running pod"))
    return Entry(f"http://{host or FRONT}", command=command_line(context, pod.namespace, pod.name, pod.containers[0]))


def workload_pod(pods: Sequence[Pod], source: str) -> Pod | None:
    """A pod of a workload which is ready, one with a sidecar first; none that holds a generator."""
    found = [
        pod
        for pod in pods
        if not pod.gateway and pod.ready and pod.containers and LOAD_FROM not in pod.labels
        if source in {pod.workload, pod.name}
    ]
    return min(found, key=lambda pod: not pod.proxied, default=None)
