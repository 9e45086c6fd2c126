"""AuthorizationPolicy: which requests a workload answers, by who asks, for what, and under which conditions.

Fields and rules are those of istio.io/api 1.31 (`security/v1beta1/authorization_policy.proto`, the CRD's schema) and of
istiod's `ValidateAuthorizationPolicy`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from runner.istio.authorization_values import (
    CHECKS,
    MOST_ACCOUNTS,
    Addresses,
    ConditionKey,
    Path,
    PortText,
    ServiceAccountName,
    TrustDomain,
    Value,
)
from runner.istio.fields import NOT_SUPPORTED, IstioModel, Labels
from runner.istio.peer_authentication import ROOT_NAMESPACE, WorkloadSelector
from runner.yamlfile.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

Action = Literal["ALLOW", "DENY", "AUDIT"]
"""What a policy does with the requests that one of its rules matches."""

_ACTIONS = get_args(Action)


def _action(value: object) -> object:
    if value == "CUSTOM":
        raise ValueError(f"the action CUSTOM is one of Istio's {NOT_SUPPORTED}; one of {', '.join(_ACTIONS)}")
    if isinstance(value, str) and value not in _ACTIONS:
        hint = suggest(value.upper(), _ACTIONS)
        raise ValueError(f"{value!r} is no action; one of {', '.join(_ACTIONS)}" + (f". {hint}" if hint else ""))
    return value


class _Described(IstioModel):
    """A part of a rule that must name something: an empty one would match everything, which Istio refuses."""

    nothing: ClassVar[str]

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError(self.nothing)
        return self


class Source(_Described):
    """Who asks. All fields that are given must match; of a field's values, one."""

    nothing = "a source names at least one of principals, namespaces, ipBlocks and so on"
    unsupported: ClassVar[frozenset[str]] = frozenset({"requestPrincipals", "notRequestPrincipals"})

    principals: list[Value] = Field(default_factory=list)
    """Identities in mutual TLS, `TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT`."""
    not_principals: list[Value] = Field(default_factory=list)
    namespaces: list[Value] = Field(default_factory=list)
    """Of those identities; `*` may stand anywhere."""
    not_namespaces: list[Value] = Field(default_factory=list)
    service_accounts: Annotated[list[ServiceAccountName], Field(max_length=MOST_ACCOUNTS)] = Field(default_factory=list)
    not_service_accounts: Annotated[list[ServiceAccountName], Field(max_length=MOST_ACCOUNTS)] = Field(
        default_factory=list
    )
    trust_domains: list[TrustDomain] = Field(default_factory=list)
    not_trust_domains: list[TrustDomain] = Field(default_factory=list)
    ip_blocks: list[Addresses] = Field(default_factory=list)
    """Of the connection's other end."""
    not_ip_blocks: list[Addresses] = Field(default_factory=list)
    remote_ip_blocks: list[Addresses] = Field(default_factory=list)
    """Of the original client, by X-Forwarded-For."""
    not_remote_ip_blocks: list[Addresses] = Field(default_factory=list)

    @model_validator(mode="after")
    def _accounts_or_identities(self) -> Source:
        accounts = self.service_accounts or self.not_service_accounts
        others = self.principals or self.not_principals or self.namespaces or self.not_namespaces
        if accounts and others:
            raise ValueError("a source takes serviceAccounts, or principals and namespaces, not both")
        return self


class Operation(_Described):
    """What is asked for. All fields that are given must match; of a field's values, one."""

    nothing = "an operation names at least one of hosts, ports, methods and paths"

    hosts: list[Value] = Field(default_factory=list)
    not_hosts: list[Value] = Field(default_factory=list)
    ports: list[PortText] = Field(default_factory=list)
    """Of the workload's container, not of its Service."""
    not_ports: list[PortText] = Field(default_factory=list)
    methods: list[Value] = Field(default_factory=list)
    not_methods: list[Value] = Field(default_factory=list)
    paths: list[Path] = Field(default_factory=list)
    not_paths: list[Path] = Field(default_factory=list)


class From(IstioModel):
    """One of a rule's sources."""

    source: Source


class To(IstioModel):
    """One of a rule's operations."""

    operation: Operation


class Condition(IstioModel):
    """A further condition on one attribute of the request."""

    key: ConditionKey
    values: list[Value] = Field(default_factory=list)
    not_values: list[Value] = Field(default_factory=list)

    @model_validator(mode="after")
    def _says_something(self) -> Condition:
        if not self.values and not self.not_values:
            raise ValueError("a condition names at least one of values and notValues")
        check = CHECKS.get(self.key)
        if check is not None:
            for value in (*self.values, *self.not_values):
                check(value)
        return self


class Rule(IstioModel):
    """Matches a request of one of the sources, for one of the operations, when all conditions hold.

    What is left out matches everything, so that `{}` matches every request.
    """

    from_: list[From] = Field(default_factory=list, alias="from")
    to: list[To] = Field(default_factory=list)
    when: list[Condition] = Field(default_factory=list)

    @field_validator("from_", "to")
    @classmethod
    def _not_empty(cls, value: list[From] | list[To]) -> list[From] | list[To]:
        if not value:
            raise ValueError("an empty list is refused by Istio; leave it out to match everything")
        return value

    @property
    def sources(self) -> list[Source]:
        """The sources without the key around each."""
        return [item.source for item in self.from_]

    @property
    def operations(self) -> list[Operation]:
        """The operations without the key around each."""
        return [item.operation for item in self.to]


class AuthorizationPolicy(IstioModel):
    """The spec of an AuthorizationPolicy.

    A workload that any ALLOW policy selects answers only what one of them allows; what a DENY policy matches is refused
    first. An ALLOW policy without rules therefore allows nothing.
    """

    unsupported: ClassVar[frozenset[str]] = frozenset({"targetRef", "targetRefs", "provider"})

    selector: WorkloadSelector | None = None
    rules: list[Rule] = Field(default_factory=list)
    action: Annotated[Action, BeforeValidator(_action)] = "ALLOW"

    @model_validator(mode="after")
    def _can_be_triggered(self) -> AuthorizationPolicy:
        if self.action == "DENY" and not self.rules:
            raise ValueError(
                "a DENY policy without rules denies nothing; an empty rule, `rules: [{}]`, denies everything"
            )
        return self

    @property
    def labels(self) -> Labels:
        """Labels that a pod must have; none: every pod within reach."""
        return self.selector.match_labels if self.selector else {}

    def concerns(self, namespace: str, pod_namespace: str, pod_labels: Mapping[str, str]) -> bool:
        """Whether a policy in `namespace` is for a pod; those of the root namespace reach every namespace."""
        return namespace in {pod_namespace, ROOT_NAMESPACE} and self.labels.items() <= pod_labels.items()
