"""Mutual TLS between proxies: what PeerAuthentication makes of inbound listeners, and auto mTLS of outbound clusters.

Shapes are istiod's (`pilot/pkg/networking/core/{filterchain_options,cluster_tls}.go`, `pilot/pkg/security/authn`), but for where
certificates come from: files that are there before the proxy starts, instead of an SDS server. They never change, so nothing
watches them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.istio.peer_authentication import effective_mode
from runner.mesh.local.translate.destination_rule import HTTP_OPTIONS
from runner.mesh.local.translate.model import Message, extension

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.istio.destination_rule import TrafficPolicy
    from runner.istio.peer_authentication import Mode
    from runner.istio.resource import Resource
    from runner.mesh.local.topology import Pod
    from runner.mesh.local.translate.model import ProxyPaths
    from runner.mesh.local.translate.registry import Endpoint, Registry

MTLS_ALPN = ("istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2")
"""What a sidecar offers, so that a receiver tells it from a client with TLS of its own."""

TLS_MODE = {"tlsMode": "istio"}
"""Endpoint metadata of pods that take mutual TLS (`envoy.transport_socket_match`)."""
SOCKET_MATCH = "envoy.transport_socket_match"

_CLIENT_ALPN = ("istio-peer-exchange", "istio")
_SERVER_ALPN = ("h2", "http/1.1")
_CIPHERS = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
)
_VERSIONS = {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"}
_TLS_TYPE = "envoy.extensions.transport_sockets.tls.v3"
_RAW_BUFFER = extension(
    "envoy.transport_sockets.raw_buffer", "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
)
_INSPECTOR = extension(
    "envoy.filters.listener.tls_inspector", "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
)

XFCC = {
    "forward_client_cert_details": "APPEND_FORWARD",
    "set_current_client_cert_details": {"subject": True, "dns": True, "uri": True},
}
"""What an inbound connection manager tells the application of its client's certificate (X-Forwarded-Client-Cert)."""

GATEWAY_XFCC = {
    "forward_client_cert_details": "SANITIZE_SET",
    "set_current_client_cert_details": {"subject": True, "cert": True, "dns": True, "uri": True},
}
"""The same at a gateway, which believes no header from outside."""


def inbound_mode(registry: Registry, pod: Pod, port: int) -> Mode:
    """What a pod's sidecar takes on a container port."""
    policies = ((policy.namespace, policy.spec) for policy in registry.peer_authentications)
    return effective_mode(policies, pod.namespace, pod.labels, port)


def policies_of(registry: Registry, *pods: Pod) -> tuple[Resource, ...]:
    """The PeerAuthentications that have a say in what pods take."""
    return tuple(
        policy.resource
        for policy in registry.peer_authentications
        if any(policy.spec.concerns(policy.namespace, pod.namespace, pod.labels) for pod in pods)
    )


def secured(registry: Registry, endpoint: Endpoint) -> bool:
    """Whether callers are to use mutual TLS by themselves: there is a sidecar, and it was not told to take plain text only."""
    pod = endpoint.pod
    return pod.role == "sidecar" and inbound_mode(registry, pod, endpoint.port) != "DISABLE"


def inbound_chains(mode: Mode, manager: Message, name: str, paths: ProxyPaths) -> Message:
    """The filter chains, and the listener filters that choose among them, of an inbound HTTP listener.

    Args:
        mode: what is taken.
        manager: the HTTP connection manager, a network filter.
        name: of the chains.
        paths: the proxy's files.
    """
    plain: Message = {"filters": [manager], "name": name}
    if mode == "DISABLE":
        return {"filter_chains": [plain]}
    secure = {**plain, "filter_chain_match": {"transport_protocol": "tls"}, "transport_socket": _downstream(paths)}
    if mode == "STRICT":
        return {"listener_filters": [_INSPECTOR], "filter_chains": [secure]}
    secure["filter_chain_match"] = {"transport_protocol": "tls", "application_protocols": list(MTLS_ALPN)}
    plain["filter_chain_match"] = {"transport_protocol": "raw_buffer"}
    return {"listener_filters": [_INSPECTOR], "filter_chains": [secure, plain]}


def _downstream(paths: ProxyPaths) -> Message:
    return extension(
        "envoy.transport_sockets.tls",
        f"{_TLS_TYPE}.DownstreamTlsContext",
        common_tls_context={
            **_certificates(paths),
            "validation_context": {"trusted_ca": {"filename": str(paths.root_certificate)}},
            "tls_params": {**_VERSIONS, "cipher_suites": list(_CIPHERS)},
            "alpn_protocols": list(_SERVER_ALPN),
        },
        require_client_certificate=True,
    )


def outbound_sockets(
    policy: TrafficPolicy | None,
    settings: Message,
    endpoints: Iterable[Endpoint],
    registry: Registry,
    sni: str,
    paths: ProxyPaths,
) -> Message:
    """The transport sockets of an outbound cluster.

    A DestinationRule's mode is for all endpoints alike; without one, each endpoint gets what it takes (auto mTLS).

    Args:
        policy: of the DestinationRule.
        settings: the cluster's other settings, which say whether it speaks HTTP/2.
        endpoints: all of the service's, whatever the subset: istiod expects any of its identities.
        registry: the mesh.
        sni: the server name to ask for.
        paths: the calling proxy's files.
    """
    known = list(endpoints)
    if policy is not None and policy.tls is not None:
        if policy.tls.mode == "DISABLE":
            return {}
        return {"transport_socket": _upstream(settings, known, sni, paths)}
    if not any(secured(registry, endpoint) for endpoint in known):
        return {}
    return {
        "transport_socket_matches": [
            {
                "name": "tlsMode-istio",
                "match": TLS_MODE,
                "transport_socket": _upstream(settings, known, sni, paths),
            },
            {"name": "tlsMode-disabled", "match": {}, "transport_socket": _RAW_BUFFER},
        ]
    }


def _upstream(settings: Message, endpoints: list[Endpoint], sni: str, paths: ProxyPaths) -> Message:
    identities = sorted({endpoint.pod.identity for endpoint in endpoints})
    validation: Message = {"trusted_ca": {"filename": str(paths.root_certificate)}}
    if identities:
        validation["match_typed_subject_alt_names"] = [
            {"san_type": "URI", "matcher": {"exact": identity}} for identity in identities
        ]
    options = settings.get("typed_extension_protocol_options", {}).get(HTTP_OPTIONS, {})
    http2 = "http2_protocol_options" in options.get("explicit_http_config", {})
    return extension(
        "envoy.transport_sockets.tls",
        f"{_TLS_TYPE}.UpstreamTlsContext",
        common_tls_context={
            **_certificates(paths),
            "validation_context": validation,
            "tls_params": _VERSIONS,
            "alpn_protocols": [*_CLIENT_ALPN, *(["h2"] if http2 else [])],
        },
        sni=sni,
    )


def _certificates(paths: ProxyPaths) -> Message:
    return {
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(paths.certificate_chain)},
                "private_key": {"filename": str(paths.private_key)},
            }
        ]
    }
