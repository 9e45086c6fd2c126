"""PeerAuthentication: whether a workload takes mutual TLS, plain text or both, and whose word counts.

Fields and rules are those of istio.io/api 1.31 (`security/v1beta1/peer_authentication.proto`, the CRD's schema); which
policy wins is istiod's `ComposePeerAuthentication` (`pilot/pkg/security/authn/policy_applier.go`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from runner.istio.fields import IstioModel, Labels, PortNumber

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT_NAMESPACE = "istio-system"
"""Istio's root namespace: a policy without a selector there is the whole mesh's."""

Mode = Literal["DISABLE", "PERMISSIVE", "STRICT"]
DEFAULT_MODE: Mode = "PERMISSIVE"
"""What holds where no policy says anything."""


def _plain_labels(labels: Labels) -> Labels:
    for name, value in labels.items():
        if not name:
            raise ValueError("a label without a name")
        if "*" in name or "*" in value:
            raise ValueError(f"{name}: {value!r} has a wildcard, which selectors do not take")
    return labels


class WorkloadSelector(IstioModel):
    """The pods that a policy is for: those with all of these labels; without labels, all within its reach."""

    match_labels: Annotated[Labels, AfterValidator(_plain_labels)] = Field(default_factory=dict)


class MutualTLS(IstioModel):
    """`mtls: {mode: STRICT}`."""

    mode: Literal["UNSET", "DISABLE", "PERMISSIVE", "STRICT"] = "UNSET"

    @property
    def set_mode(self) -> Mode | None:
        """The mode; None when what is above decides."""
        return None if self.mode == "UNSET" else self.mode


def _port(value: Any) -> Any:
    """YAML reads the key 8080 as a number, and Kubernetes' JSON has it as text: both are meant."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value


class PeerAuthentication(IstioModel):
    """The spec of a PeerAuthentication."""

    selector: WorkloadSelector | None = None
    mtls: MutualTLS | None = None
    port_level_mtls: dict[Annotated[PortNumber, BeforeValidator(_port)], MutualTLS] = Field(default_factory=dict)
    """By the port that the container listens on, which is not the Service's."""

    @model_validator(mode="after")
    def _ports_need_a_workload(self) -> PeerAuthentication:
        if self.port_level_mtls and not self.labels:
            raise ValueError("portLevelMtls needs a selector with matchLabels: it holds for single workloads only")
        return self

    @property
    def labels(self) -> Labels:
        """Labels that a pod must have; none: every pod of the namespace."""
        return self.selector.match_labels if self.selector else {}

    @property
    def set_mode(self) -> Mode | None:
        """The mode for all ports; None when what is above decides."""
        return self.mtls.set_mode if self.mtls else None

    def concerns(self, namespace: str, pod_namespace: str, pod_labels: Mapping[str, str]) -> bool:
        """Whether a policy in `namespace` has a say in a pod; one with a selector in the root namespace has none."""
        if self.labels:
            here = namespace == pod_namespace != ROOT_NAMESPACE
            return here and self.labels.items() <= pod_labels.items()
        return namespace in {pod_namespace, ROOT_NAMESPACE}


def effective_mode(
    policies: Iterable[tuple[str, PeerAuthentication]],
    namespace: str,
    labels: Mapping[str, str],
    port: int,
) -> Mode:
    """What a pod takes on a container port.

    Of the policies for the workload, its namespace and the mesh, the closest that sets a mode decides; of two that are
    equally close, the first, which stands for the older one.

    Args:
        policies: namespace and spec of each, the oldest first.
        namespace: the pod's.
        labels: the pod's.
        port: that its container listens on.
    """
    mesh: PeerAuthentication | None = None
    own: PeerAuthentication | None = None
    workload: PeerAuthentication | None = None
    for home, policy in policies:
        if not policy.concerns(home, namespace, labels):
            continue
        if policy.labels:
            workload = workload or policy
        elif home == ROOT_NAMESPACE:
            mesh = mesh or policy
        else:
            own = own or policy
    modes = [policy.set_mode for policy in (workload, own, mesh) if policy]
    whole: Mode = next((mode for mode in modes if mode), DEFAULT_MODE)
    special = workload.port_level_mtls.get(port) if workload else None
    return (special.set_mode if special else None) or whole
