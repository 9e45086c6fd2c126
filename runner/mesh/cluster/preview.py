"""A cluster in thought: nothing is known of it before it is asked, and nothing is asked before a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.errors import Problem
    from runner.istio.resource import Resource


class ClusterPreview:
    """What can be said about a cluster without one."""

    def applied(self) -> list[Resource]:
        """Nothing that could be known."""
        return []

    def check(self, resources: Sequence[Resource]) -> list[str]:  # noqa: ARG002 - the protocol's argument
        """No warnings: the state is tried on the cluster itself, by its API server, before anything is touched."""
        return []

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
