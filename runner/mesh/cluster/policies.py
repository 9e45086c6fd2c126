"""What a proxy's listeners show of security policies: RBAC rules by the policy they came from, TLS on inbound ports, JWT issuers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runner.mesh.cluster.dump import MANAGER, chains

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.istio.peer_authentication import Mode
    from runner.istio.resource import ResourceKey
    from runner.mesh.cluster.dump import Dump

INBOUND = "virtualInbound"
"""The listener that takes all intercepted inbound connections of a sidecar."""

_JWT = "envoy.filters.http.jwt_authn"
_RULE = re.compile(r"ns\[([^\]]*)\]-policy\[([^\]]*)\]-rule\[(\d+)\]")
"""How istiod names the rules of an AuthorizationPolicy; before it, for CUSTOM, the provider."""
_BLACKHOLE = "virtualInbound-blackhole"

Rule = tuple[str, str, str, Any]
"""Listener, filter chain, the rule's name, and what it says."""


def _filters(chain: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for item in chain.get("filters") or []:
        yield item
        if item.get("name") == MANAGER:
            yield from (item.get("typed_config") or {}).get("http_filters") or []


def rules(dump: Dump) -> Iterator[Rule]:
    """Every rule of an AuthorizationPolicy that a proxy enforces, or tries in a dry run."""
    for name, listener in sorted(dump.listeners.items()):
        for number, chain in enumerate(chains(listener)):
            for item in _filters(chain):
                if ".rbac" in str(item.get("name")):
                    config = item.get("typed_config") or {}
                    for part in ("rules", "shadow_rules"):
                        policies = (config.get(part) or {}).get("policies") or {}
                        action = (config.get(part) or {}).get("action") or "ALLOW"
                        for rule, says in sorted(policies.items()):
                            yield name, f"{number} {item['name']}", rule, [part, action, says]


def rules_of(dump: Dump, key: ResourceKey) -> list[Rule]:
    """Those of one policy."""
    return [item for item in rules(dump) if _source(item[2]) == (key.namespace, key.name)]


def rule_numbers(dump: Dump, key: ResourceKey) -> set[int]:
    """Which of a policy's rules a proxy has, by their place in the policy."""
    return {int(found[3]) for item in rules_of(dump, key) if (found := _RULE.search(item[2]))}


def _source(rule: str) -> tuple[str, str] | None:
    found = _RULE.search(rule)
    return (found[1], found[2]) if found else None


def port_modes(dump: Dump) -> dict[int, Mode]:
    """By port that a container listens on, whether a sidecar takes mutual TLS, plain text, or both there."""
    seen: dict[int, set[bool]] = {}
    for chain in chains(dump.listeners.get(INBOUND) or {}):
        port = (chain.get("filter_chain_match") or {}).get("destination_port")
        if port is not None and chain.get("name") != _BLACKHOLE:
            seen.setdefault(int(port), set()).add("transport_socket" in chain)
    return {port: _mode(secured) for port, secured in seen.items()}


def _mode(secured: set[bool]) -> Mode:
    if secured == {True}:
        return "STRICT"
    return "DISABLE" if secured == {False} else "PERMISSIVE"


def transport(dump: Dump) -> list[Any]:
    """What a proxy's config says about TLS: on its inbound chains, and to its upstreams."""
    inbound = [
        [chain.get("name"), chain.get("filter_chain_match"), chain.get("transport_socket")]
        for chain in chains(dump.listeners.get(INBOUND) or {})
    ]
    upstream = [
        [name, cluster.get("transport_socket"), cluster.get("transport_socket_matches")]
        for name, cluster in sorted(dump.clusters.items())
    ]
    return [inbound, upstream]


def jwt_filters(dump: Dump) -> list[Any]:
    """The JWT filters of a proxy, each once."""
    found = [
        item.get("typed_config")
        for _, listener in sorted(dump.listeners.items())
        for chain in chains(listener)
        for item in _filters(chain)
        if item.get("name") == _JWT
    ]
    return [config for number, config in enumerate(found) if config not in found[:number]]


def issuers(dump: Dump) -> set[str]:
    """The issuers whose tokens a proxy looks at."""
    providers = [
        provider for config in jwt_filters(dump) for provider in ((config or {}).get("providers") or {}).values()
    ]
    return {str(provider.get("issuer")) for provider in providers}
