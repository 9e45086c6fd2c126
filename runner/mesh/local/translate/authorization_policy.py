"""AuthorizationPolicies as Envoy's RBAC filters, at the inbound listeners of sidecars and at gateways.

istiod makes at most three of them, AUDIT before DENY before ALLOW, after the peer's metadata and before everything else.
A policy without rules becomes one that never matches: of ALLOW that denies everything. Both filters count in the
listener's `rbac.allowed` and `rbac.denied`, so a request that passes a DENY and an ALLOW filter counts twice as allowed.
Source: istio.io/istio, `pilot/pkg/security/authz/builder` and `pilot/pkg/model/authorization.go`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.istio.authorization_values import DRY_RUN
from runner.istio.peer_authentication import ROOT_NAMESPACE
from runner.mesh.local.translate.authorization_rules import rbac_policy
from runner.mesh.local.translate.model import Message, extension

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.istio.authorization_policy import Action, AuthorizationPolicy
    from runner.istio.resource import Resource
    from runner.mesh.local.topology import Pod
    from runner.mesh.local.translate.registry import Bound, Registry

RBAC_FILTER = "envoy.filters.http.rbac"
_RBAC = "envoy.extensions.filters.http.rbac.v3.RBAC"
_ACTIONS: tuple[tuple[Action, str], ...] = (("AUDIT", "LOG"), ("DENY", "DENY"), ("ALLOW", "ALLOW"))
"""Istio's actions, in the order of the filters, with Envoy's."""
_SHADOW_PREFIX = {"ALLOW": "istio_dry_run_allow_", "DENY": "istio_dry_run_deny_"}
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
"""What Go's ParseBool takes for true."""
_NEVER: Message = {"permissions": [{"not_rule": {"any": True}}], "principals": [{"not_id": {"any": True}}]}


@dataclass(frozen=True, slots=True)
class Authorization:
    """What policies do at one proxy.

    Attributes:
        filters: HTTP filters, in order; none without policies.
        sources: the policies behind them.
    """

    filters: tuple[Message, ...]
    sources: tuple[Resource, ...]


def authorization(registry: Registry, pod: Pod) -> Authorization:
    """The RBAC filters of a pod's inbound listeners (of a gateway's listeners all)."""
    found = policies_of(registry, pod)
    filters = [
        _filter(envoy_action, [bound for bound in found if bound.spec.action == action])
        for action, envoy_action in _ACTIONS
        if any(bound.spec.action == action for bound in found)
    ]
    return Authorization(tuple(filters), tuple(bound.resource for bound in found))


def policies_of(registry: Registry, pod: Pod) -> list[Bound[AuthorizationPolicy]]:
    """The policies that select a pod: those of the root namespace, then those of its own."""
    found = [
        bound
        for bound in registry.authorization_policies
        if bound.spec.concerns(bound.namespace, pod.namespace, pod.labels)
    ]
    return sorted(found, key=lambda bound: bound.namespace != ROOT_NAMESPACE)


def is_dry_run(resource: Resource) -> bool:
    """Whether a policy is only counted (annotation `istio.io/dry-run`)."""
    annotations = resource.body.get("metadata", {}).get("annotations") or {}
    return annotations.get(DRY_RUN) in _TRUE


def _filter(action: str, policies: Sequence[Bound[AuthorizationPolicy]]) -> Message:
    enforced = [bound for bound in policies if not is_dry_run(bound.resource)]
    tried = [bound for bound in policies if is_dry_run(bound.resource)]
    fields: Message = {}
    if enforced:
        fields["rules"] = _rules(action, enforced)
    if tried:
        fields["shadow_rules"] = _rules(action, tried)
    # istiod names the counters of dry runs after ALLOW also where there are none, whatever the action.
    prefix = _SHADOW_PREFIX.get(action if tried else "ALLOW")
    if prefix:
        fields["shadow_rules_stat_prefix"] = prefix
    return extension(RBAC_FILTER, _RBAC, **fields)


def _rules(action: str, policies: Iterable[Bound[AuthorizationPolicy]]) -> Message:
    named: Message = {}
    for bound in policies:
        prefix = f"ns[{bound.namespace}]-policy[{bound.resource.key.name}]-rule"
        for index, rule in enumerate(bound.spec.rules):
            named[f"{prefix}[{index}]"] = rbac_policy(rule, bound.namespace)
        if not bound.spec.rules:
            named[f"{prefix}[0]"] = _NEVER
    return {"action": action, "policies": named}
