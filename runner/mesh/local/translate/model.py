"""What a translation gives back, and where a proxy reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from runner.istio.resource import Resource

Message = dict[str, Any]
"""One Envoy protobuf message in its JSON form (field names as in the .proto files)."""

_TYPE_URL = "type.googleapis.com/"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class XdsResource:
    """One Cluster, Listener or RouteConfiguration.

    Attributes:
        name: the resource's name, istiod's.
        config: the message, `@type` included.
        sources: the manifests that shaped it, the most likely culprit of a rejection last.
    """

    name: str
    config: Message
    sources: tuple[Resource, ...]


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """Everything that one proxy is to hold. Every route configuration is used by at least one listener."""

    clusters: tuple[XdsResource, ...]
    listeners: tuple[XdsResource, ...]
    routes: tuple[XdsResource, ...]


@dataclass(frozen=True, slots=True)
class ProxyPaths:
    """The files of one proxy, all under `directory`."""

    directory: Path

    @property
    def cds(self) -> Path:
        """Clusters (CDS)."""
        return self.directory / "cds.json"

    @property
    def lds(self) -> Path:
        """Listeners (LDS)."""
        return self.directory / "lds.json"

    @property
    def access_log(self) -> Path:
        """The access log in Istio's text format."""
        return self.directory / "access.log"

    @property
    def certificate_chain(self) -> Path:
        """The proxy's own certificate."""
        return self.directory / "cert-chain.pem"

    @property
    def private_key(self) -> Path:
        """Its key, which nobody else may read."""
        return self.directory / "key.pem"

    @property
    def root_certificate(self) -> Path:
        """The certificate of the mesh's authority."""
        return self.directory / "root-cert.pem"

    def route(self, name: str) -> Path:
        """The file of one RouteConfiguration (RDS)."""
        return self.directory / "rds" / f"{_UNSAFE.sub('_', name)}.json"


def any_message(message_type: str, **fields: Any) -> Message:
    """A message that stands where Envoy wants a `google.protobuf.Any`, such as `envoy.config.cluster.v3.Cluster`."""
    return {"@type": _TYPE_URL + message_type, **fields}


def extension(name: str, message_type: str, **fields: Any) -> Message:
    """A named extension with its `typed_config`, such as an HTTP filter or an access logger."""
    return {"name": name, "typed_config": any_message(message_type, **fields)}


def socket_address(address: str, port: int) -> Message:
    """A `config.core.v3.Address` for TCP."""
    return {"socket_address": {"address": address, "port_value": port}}


def duration(seconds: float) -> str:
    """Seconds as protobuf's JSON writes a Duration: `0.5s`, `180s` (nanosecond resolution)."""
    text = f"{seconds:.9f}".rstrip("0").rstrip(".")
    return f"{text or '0'}s"
