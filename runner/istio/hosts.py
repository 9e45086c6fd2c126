"""Names of hosts and gateways, resolved as istiod resolves them, so that a short name means one service only."""

from __future__ import annotations

MESH_GATEWAY = "mesh"
"""The reserved name for all sidecars."""

CLUSTER_DOMAIN = "svc.cluster.local"
"""Kubernetes' default domain for services."""


def full_host(name: str, namespace: str) -> str:
    """The full name that a resource in `namespace` means by `name`.

    istiod completes names without a dot only: `reviews` becomes `reviews.default.svc.cluster.local`, while
    `reviews.default` and `*` stay what they are (`ResolveShortnameToFQDN`).
    """
    name = name.removesuffix(".")
    if "." in name or name == "*":
        return name
    return f"{name}.{namespace}.{CLUSTER_DOMAIN}"


def service_host(name: str, namespace: str) -> str:
    """The full host name of a Kubernetes Service."""
    return f"{name}.{namespace}.{CLUSTER_DOMAIN}"


def host_matches(pattern: str, host: str) -> bool:
    """Whether `host` is one of those that `pattern` (a name, `*` or `*.suffix`) names; case makes no difference."""
    pattern, host = pattern.lower(), host.lower()
    if pattern == "*":
        return True
    if pattern.startswith("*"):
        return len(host) >= len(pattern) and host.endswith(pattern[1:])
    return host == pattern


def hosts_overlap(one: str, other: str) -> bool:
    """Whether some host is named by both patterns."""
    return host_matches(one, other) or host_matches(other, one)


def full_gateway(name: str, namespace: str) -> str:
    """The gateway that a VirtualService in `namespace` means by `name`: `NAMESPACE/NAME`, or `mesh`.

    `NAME`, `NAMESPACE/NAME`, `./NAME` and the old `NAME.NAMESPACE.svc.cluster.local` are understood.
    """
    if name == MESH_GATEWAY:
        return name
    where, slash, rest = name.partition("/")
    if slash:
        return f"{namespace if where == '.' else where}/{rest}"
    first, dot, tail = name.partition(".")
    if dot:
        return f"{tail.split('.')[0]}/{first}"
    return f"{namespace}/{name}"
