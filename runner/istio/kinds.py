"""The one table of resource kinds: which apiVersions each has, and the model that reads it.

Kinds without a model are known, so that a user learns that the word is right and the embedded mesh can't do it yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.istio.authorization_policy import AuthorizationPolicy
from runner.istio.destination_rule import DestinationRule
from runner.istio.gateway import Gateway
from runner.istio.kube import Deployment, Namespace, Service, ServiceAccount
from runner.istio.peer_authentication import PeerAuthentication
from runner.istio.virtual_service import VirtualService

if TYPE_CHECKING:
    from pydantic import BaseModel

_NETWORKING = tuple(f"networking.istio.io/{version}" for version in ("v1", "v1beta1", "v1alpha3"))
_SECURITY = ("security.istio.io/v1", "security.istio.io/v1beta1")
_TELEMETRY = ("telemetry.istio.io/v1", "telemetry.istio.io/v1alpha1")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of resource.

    Attributes:
        name: as in `kind:`.
        api_versions: the newest first.
        model: reads its spec; None when the embedded mesh does not support the kind.
        namespaced: whether it lives in a namespace.
        body_keys: keys beside apiVersion, kind, metadata, spec and status that are Kubernetes' own.
    """

    name: str
    api_versions: tuple[str, ...]
    model: type[BaseModel] | None = None
    namespaced: bool = True
    body_keys: frozenset[str] = frozenset()


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("VirtualService", _NETWORKING, VirtualService),
        Kind("DestinationRule", _NETWORKING, DestinationRule),
        Kind("Gateway", _NETWORKING, Gateway),
        Kind("Service", ("v1",), Service),
        Kind("Deployment", ("apps/v1",), Deployment),
        Kind(
            "ServiceAccount",
            ("v1",),
            ServiceAccount,
            body_keys=frozenset({"secrets", "imagePullSecrets", "automountServiceAccountToken"}),
        ),
        Kind("Namespace", ("v1",), Namespace, namespaced=False),
        Kind("ServiceEntry", _NETWORKING),
        Kind("Sidecar", _NETWORKING),
        Kind("WorkloadEntry", _NETWORKING),
        Kind("WorkloadGroup", _NETWORKING),
        Kind("EnvoyFilter", ("networking.istio.io/v1alpha3",)),
        Kind("ProxyConfig", ("networking.istio.io/v1beta1",)),
        Kind("PeerAuthentication", _SECURITY, PeerAuthentication),
        Kind("RequestAuthentication", _SECURITY),
        Kind("AuthorizationPolicy", _SECURITY, AuthorizationPolicy),
        Kind("Telemetry", _TELEMETRY),
        Kind("WasmPlugin", ("extensions.istio.io/v1alpha1",)),
    )
}
"""By name."""

SUPPORTED = tuple(kind.name for kind in KINDS.values() if kind.model is not None)
"""What the embedded mesh takes."""
