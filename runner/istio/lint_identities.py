"""Traps in whom an AuthorizationPolicy names: identities that no workload has, and how they are written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runner.errors import Problem
from runner.istio.peer_authentication import ROOT_NAMESPACE, effective_mode
from runner.yamlfile.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.istio.authorization_policy import Rule
    from runner.istio.inventory import Inventory, PodLabels
    from runner.istio.lint_routes import Trap
    from runner.istio.resource import Resource
    from runner.yamlfile.documents import Loc

TRUST_DOMAIN = "cluster.local"
"""Istio's default; a cluster may have another one."""
_SCHEME = "spiffe://"
_IDENTITY = re.compile(r"(?P<domain>[^/]+)/ns/(?P<namespace>[^/]+)/sa/.+")


def lint_identities(resource: Resource, rule: Rule, way: Loc, inventory: Inventory) -> Iterator[Trap]:
    """The traps in a rule's sources and conditions.

    Args:
        resource: the policy.
        rule: one of its rules.
        way: where it stands.
        inventory: pods; of those without a service account, nothing is said.
    """
    known = Identities(inventory)
    for place, what, value in _named(rule, way):
        problem = None
        if what == "principal":
            problem = known.principal_problem(value)
        elif what == "namespace":
            problem = known.namespace_problem(value)
        else:
            namespace, slash, name = value.rpartition("/")
            problem = known.account_problem(namespace if slash else resource.key.namespace, name)
        if problem is not None:
            message, hint = problem
            yield "warning", Problem(message, resource.position(*place), suggestion=hint)


def lint_plain_text(
    resource: Resource, rule: Rule, way: Loc, pods: Sequence[PodLabels], inventory: Inventory
) -> Iterator[Trap]:
    """Identities that a rule asks for at workloads which take plain text only.

    Args:
        resource: the policy.
        rule: one of its rules.
        way: where it stands.
        pods: that the policy selects.
        inventory: for the PeerAuthentications.
    """
    place = next((place for place, _, _ in _named(rule, way)), None)
    if place is None:
        return
    known = [(policy.key.namespace, spec) for policy, spec in inventory.peer_authentications]
    modes = {effective_mode(known, pod.namespace, pod.labels, port) for pod in pods for port in pod.ports or ()}
    if modes == {"DISABLE"}:
        message = "identities come from mutual TLS, which a PeerAuthentication turns off where this policy holds"
        where = resource.position(*place[:-1], key=True)
        yield "warning", Problem(message, where, suggestion="Nobody has an identity there")


def _named(rule: Rule, way: Loc) -> Iterator[tuple[Loc, str, str]]:
    """Place, kind and value of everything that names callers."""
    for number, source in enumerate(rule.sources):
        for what, field, values in (
            ("principal", "principals", source.principals),
            ("principal", "notPrincipals", source.not_principals),
            ("namespace", "namespaces", source.namespaces),
            ("namespace", "notNamespaces", source.not_namespaces),
            ("account", "serviceAccounts", source.service_accounts),
            ("account", "notServiceAccounts", source.not_service_accounts),
        ):
            for index, value in enumerate(values):
                yield (*way, "from", number, "source", field, index), what, value
    kinds = {"source.principal": "principal", "source.namespace": "namespace", "source.serviceAccount": "account"}
    for number, condition in enumerate(rule.when):
        for field, values in (("values", condition.values), ("notValues", condition.not_values)):
            for index, value in enumerate(values):
                if condition.key in kinds:
                    yield (*way, "when", number, field, index), kinds[condition.key], value


class Identities:
    """Who is there.

    Whether somebody else is too is known where the pods of Istio's own namespace are among the pods: an embedded mesh
    shows all of them. Of a cluster a run sees one namespace, and gateways elsewhere (`Inventory.whole`).
    """

    def __init__(self, inventory: Inventory) -> None:
        whole = inventory.whole
        pods = [pod for pod in inventory.pods if whole is None or pod.namespace in whole]
        self._all = whole is None and any(pod.namespace == ROOT_NAMESPACE for pod in pods)
        self._namespaces = sorted({pod.namespace for pod in pods})
        named = bool(pods) and all(pod.service_account for pod in pods)
        self._accounts = (
            {(pod.namespace, pod.service_account): pod.sidecar or pod.namespace == ROOT_NAMESPACE for pod in pods}
            if named
            else {}
        )

    def principal_problem(self, value: str) -> tuple[str, str | None] | None:
        """What is wrong with a principal, and what was meant; None when nothing is."""
        if value.startswith(_SCHEME):
            return f'principals are written without "{_SCHEME}"', f'Did you mean "{value.removeprefix(_SCHEME)}"?'
        if "*" in value[1:-1]:
            return f'the * within "{value}" is no wildcard', "Only a * at the start or the end is one"
        found = _IDENTITY.fullmatch(value)
        if found is None and "*" not in value:
            hint = suggest(f"sa/{value}", self._principals()) or self._with_account(value)
            return f'"{value}" is no identity; {TRUST_DOMAIN}/ns/NAMESPACE/sa/SERVICE-ACCOUNT is one', hint
        if not self._accounts:
            return None
        if not self._all:
            if found is None or found["namespace"] not in self._namespaces:
                return None
            value = f"{TRUST_DOMAIN}{value.removeprefix(found['domain'])}"  # a cluster's may be any
        return self._nobody("identity", value, [one for one in self._principals() if _is_one_of(one, value)])

    def namespace_problem(self, value: str) -> tuple[str, str | None] | None:
        """The same of a namespace."""
        if not self._all or any(re.fullmatch(_pattern(value), name) for name in self._namespaces):
            return None
        return f'no workload is in a namespace "{value}"', suggest(value, self._namespaces)

    def account_problem(self, namespace: str, name: str) -> tuple[str, str | None] | None:
        """The same of a service account."""
        if not self._accounts or not (self._all or namespace in self._namespaces):
            return None
        here = (namespace, name) in self._accounts
        return self._nobody("service account", f"{namespace}/{name}", [_principal(namespace, name)] if here else [])

    def _nobody(self, what: str, value: str, found: list[str]) -> tuple[str, str | None] | None:
        if not found:
            known = self._principals() if what == "identity" else ["/".join(pair) for pair in self._accounts]
            return f'no workload has the {what} "{value}"', suggest(value, known)
        if not any(proxied for pair, proxied in self._accounts.items() if _principal(*pair) in found):
            return f'the workloads with the {what} "{value}" have no sidecar, so nobody sees that identity', None
        return None

    def _principals(self) -> list[str]:
        return [_principal(*pair) for pair in self._accounts]

    def _with_account(self, name: str) -> str | None:
        meant = next((_principal(*pair) for pair in self._accounts if pair[1] == name), None)
        return f'Did you mean "{meant}"?' if meant else None


def _principal(namespace: str, account: str) -> str:
    return f"{TRUST_DOMAIN}/ns/{namespace}/sa/{account}"


def _is_one_of(identity: str, value: str) -> bool:
    """Whether a principal with a wildcard at an end, or none, means an identity."""
    if value.startswith("*"):
        return identity.endswith(value[1:])
    return identity.startswith(value[:-1]) if value.endswith("*") else identity == value


def _pattern(value: str) -> str:
    return ".*".join(re.escape(part) for part in value.split("*"))
