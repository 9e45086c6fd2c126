"""A cluster in thought: nothing is known of it before it is asked, and nothing is asked before a run.

What can be said all the same: what Istio itself would refuse (said where manifests are read), what a run can't change on any
cluster, and of which kinds only a cluster could say more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import InputError
from runner.istio.kinds import KINDS
from runner.mesh.cluster.touched import misplaced

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.errors import Problem
    from runner.istio.resource import Resource, ResourceKey


class ClusterPreview:
    """What can be said about a run in a namespace of a cluster without the cluster."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def applied(self) -> list[Resource]:
        """Nothing that could be known."""
        return []

    def reach(self, keys: Iterable[ResourceKey]) -> None:
        """Nothing to do: nothing is looked at."""

    def check(self, resources: Sequence[Resource]) -> list[str]:
        """What could not be checked: whole states are tried on the cluster itself, by its API server, before anything is touched.

        Raises:
            InputError: a run can't change a resource on any cluster.
        """
        problems = list(misplaced(resources, self._namespace))
        if problems:
            raise InputError(problems)
        return [_unread(resource) for resource in resources if KINDS[resource.key.kind].model is None]

    def entry_problems(
        self,
        resources: Sequence[Resource],  # noqa: ARG002 - the protocol's arguments
        source: str,  # noqa: ARG002
        host: str | None,  # noqa: ARG002
    ) -> list[tuple[str, Problem]]:
        """None: which pods there are is found out when the cluster is opened."""
        return []

    def workloads(self) -> dict[str, list[str]]:
        """None that could be known."""
        return {}


def _unread(resource: Resource) -> str:
    return (
        f"{resource.position()}: no cluster was asked, so the fields of {resource.key} were not checked, only its kind and metadata. "
        f"`meshtrial doctor` with this experiment has the API server check them, and so has every run before it touches anything"
    )
