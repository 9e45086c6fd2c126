"""Gateway: which ports and hosts an ingress gateway serves; plain HTTP so far.

Fields are those of istio.io/api 1.31 (`networking/v1alpha3/gateway.proto`).
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, model_validator

from runner.istio.fields import NOT_SUPPORTED, IstioModel, Labels, PortNumber

_HTTP = ("HTTP", "HTTP2", "GRPC", "GRPC-WEB")
_OTHER = ("HTTPS", "TLS", "TCP", "MONGO")


def _protocol(value: str) -> str:
    name = value.upper()
    if name in _OTHER:
        raise ValueError(f"the protocol {value} is one of Istio's {NOT_SUPPORTED}")
    if name not in _HTTP:
        raise ValueError(f"{value!r} is no protocol; one of {', '.join((*_HTTP, *_OTHER))}")
    return name


def _server_host(value: str) -> str:
    namespace, slash, name = value.rpartition("/")
    if (slash and not re.fullmatch(r"\*|\.|[a-z0-9]([-a-z0-9]*[a-z0-9])?", namespace)) or not re.fullmatch(
        r"\*|(\*\.)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", name
    ):
        raise ValueError(f"{value!r} is not a host such as *, bookinfo.example.com or NAMESPACE/HOST")
    return value


class Port(IstioModel):
    """The port that a server listens on."""

    unsupported: ClassVar[frozenset[str]] = frozenset({"targetPort"})

    number: PortNumber
    name: str = Field(min_length=1)
    protocol: Annotated[str, AfterValidator(_protocol)]
    """In capitals: HTTP, HTTP2, GRPC or GRPC-WEB."""


class ServerTLSSettings(IstioModel):
    """TLS of a server; only the redirect to HTTPS so far."""

    unsupported: ClassVar[frozenset[str]] = frozenset(
        {
            "mode",
            "serverCertificate",
            "privateKey",
            "caCertificates",
            "caCrl",
            "credentialName",
            "credentialNames",
            "caCertCredentialName",
            "tlsCertificates",
            "subjectAltNames",
            "verifyCertificateSpki",
            "verifyCertificateHash",
            "minProtocolVersion",
            "maxProtocolVersion",
            "cipherSuites",
            "insecureSkipVerify",
        }
    )

    https_redirect: bool = False


class Server(IstioModel):
    """One port with the hosts it serves (`host` or `namespace/host`)."""

    unsupported: ClassVar[frozenset[str]] = frozenset({"bind", "defaultEndpoint"})

    port: Port
    hosts: list[Annotated[str, AfterValidator(_server_host)]] = Field(min_length=1)
    tls: ServerTLSSettings | None = None
    name: str | None = None


class Gateway(IstioModel):
    """The spec of a Gateway."""

    selector: Labels = Field(default_factory=dict)
    """Labels of the gateway's pods."""
    servers: list[Server] = Field(min_length=1)

    @model_validator(mode="after")
    def _port_names_once(self) -> Gateway:
        names = [server.port.name for server in self.servers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the port name {', '.join(twice)} is used by two servers")
        return self
