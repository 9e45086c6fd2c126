"""The known traps: config that Istio accepts and that does not do what it says.

Each of them would end as an experiment that measures nothing. Errors are what can't work; warnings what may be meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from runner.errors import Position, Problem
from runner.istio.inventory import Inventory, PodLabels, pods_of_deployments
from runner.istio.lint_authorization import lint_authorization_policies
from runner.istio.lint_peer_authentication import lint_peer_authentications
from runner.istio.lint_routes import lint_virtual_services
from runner.istio.lint_rules import lint_destination_rules

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from runner.istio.resource import Resource

__all__ = ["Finding", "PodLabels", "lint", "pods_of_deployments"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One trap that config walks into."""

    severity: Literal["error", "warning"]
    problem: Problem

    def __str__(self) -> str:
        return f"{self.severity}: {self.problem}"


def lint(
    resources: Sequence[Resource], pods: Sequence[PodLabels], whole: Collection[str] | None = None
) -> list[Finding]:
    """Look for known traps in a whole state (base, setup and apply laid over each other).

    Args:
        resources: all that the mesh will hold.
        pods: of all workloads; with none, what depends on pods is not looked at.
        whole: the namespaces of which all pods are among `pods`, where there may be others; None where `pods` tell by themselves.

    Returns:
        Findings, errors first, each group in the order of the files.

    Raises:
        InputError: a resource's spec is wrong (`runner.istio.load.typed`).
    """
    inventory = Inventory.of(resources, pods, whole)
    used: set[tuple[str, str]] = set()
    found = [Finding(severity, problem) for severity, problem in lint_virtual_services(inventory, used)]
    found += [Finding(severity, problem) for severity, problem in lint_destination_rules(inventory, used)]
    found += [Finding(severity, problem) for severity, problem in lint_authorization_policies(inventory)]
    found += [Finding(severity, problem) for severity, problem in lint_peer_authentications(inventory)]
    order = {resource.position().file: number for number, resource in reversed(list(enumerate(resources)))}

    def place(finding: Finding) -> tuple[bool, int, int, int]:
        where = finding.problem.where or Position("", 0, 0)
        return finding.severity == "warning", order.get(where.file, -1), where.line, where.column

    return sorted(found, key=place)
