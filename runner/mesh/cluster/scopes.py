"""Where a run needs permissions, and Istio's kinds by the Role that has them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NETWORKING = "networking.istio.io"
SECURITY = "security.istio.io"
TELEMETRY = "telemetry.istio.io"
EXTENSIONS = "extensions.istio.io"

ROUTING = tuple((NETWORKING, kind) for kind in ("virtualservices", "destinationrules", "gateways"))
POLICIES = (
    *((NETWORKING, kind) for kind in ("serviceentries", "workloadentries", "sidecars", "envoyfilters")),
    *((SECURITY, kind) for kind in ("authorizationpolicies", "peerauthentications", "requestauthentications")),
    (TELEMETRY, "telemetries"),
    (EXTENSIONS, "wasmplugins"),
)


class Scope(StrEnum):
    """Where a permission is needed, and so which of the shipped manifests grants it."""

    EXPERIMENT = "experiment"
    """In the experiment's namespace: `deploy/kustomize/base`."""
    APP = "app"
    """The same, only where the run puts the app or a client there: `deploy/kustomize/components/app`."""
    LOAD = "load"
    """In the experiment's namespace, only where Locust's workers run in pods: `deploy/kustomize/components/load`."""
    POLICIES = "policies"
    """In the experiment's namespace, only for experiments with Istio's kinds beyond routing: `deploy/kustomize/components/policies`."""
    MESH = "mesh"
    """In `istio-system`, only for experiments with config of the whole mesh: `deploy/kustomize/mesh-wide`."""
    ISTIO = "istio"
    """In `istio-system`: `deploy/kustomize/istio`."""
    CLUSTER = "cluster"
    """Everywhere, read only, by a ClusterRole: `deploy/kustomize/components/cluster-reader`."""


@dataclass(frozen=True, slots=True)
class Permission:
    """A line of a Role.

    Attributes:
        scope: where.
        group: API group, empty for Kubernetes' core.
        resource: plural, with its subresource (`pods/exec`).
        verbs: as in a Role.
        purpose: what a run does with it.
        without: what happens without it; empty when a run can't do at all.
    """

    scope: Scope
    group: str
    resource: str
    verbs: tuple[str, ...]
    purpose: str
    without: str = ""

    @property
    def required(self) -> bool:
        """Whether no run is possible without it."""
        return not self.without

    def __str__(self) -> str:
        return f"{', '.join(self.verbs)} {self.resource}" + (f".{self.group}" if self.group else "")
