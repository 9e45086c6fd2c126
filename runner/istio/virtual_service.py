"""VirtualService, HTTP part: how requests to a host are matched, routed, delayed, failed, retried and copied.

Fields and rules are those of istio.io/api 1.31 (`networking/v1alpha3/virtual_service.proto`, the CRD's schema)
and of istiod's validation.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from runner.istio.faults import GRPC_STATUS, RETRY_ON, Abort, Delay, HTTPFaultInjection, HTTPRetry
from runner.istio.fields import (
    DestinationHost,
    Duration,
    ExportTo,
    FullStringMatch,
    Host,
    IstioModel,
    Labels,
    NonNegative,
    Percent,
    PortNumber,
    PortSelector,
    Regex,
    StringMatch,
    WholePercent,
)

__all__ = [
    "GRPC_STATUS",
    "RETRY_ON",
    "Abort",
    "Delay",
    "Destination",
    "HTTPBody",
    "HTTPDirectResponse",
    "HTTPFaultInjection",
    "HTTPMatchRequest",
    "HTTPMirrorPolicy",
    "HTTPRedirect",
    "HTTPRetry",
    "HTTPRewrite",
    "HTTPRoute",
    "HTTPRouteDestination",
    "HeaderOperations",
    "Headers",
    "RegexRewrite",
    "VirtualService",
]


class Destination(IstioModel):
    """Where requests go: a service, perhaps one subset of it, perhaps one port."""

    host: DestinationHost
    subset: str | None = None
    port: PortSelector | None = None


class HeaderOperations(IstioModel):
    """Headers to overwrite, append and remove."""

    set: dict[str, str] = Field(default_factory=dict)
    add: dict[str, str] = Field(default_factory=dict)
    remove: list[str] = Field(default_factory=list)


class Headers(IstioModel):
    """Header operations on requests and on responses."""

    request: HeaderOperations = Field(default_factory=HeaderOperations)
    response: HeaderOperations = Field(default_factory=HeaderOperations)


class HTTPMatchRequest(IstioModel):
    """Conditions that must all hold."""

    unsupported: ClassVar[frozenset[str]] = frozenset({"statPrefix"})

    name: str | None = None
    uri: FullStringMatch | None = None
    scheme: FullStringMatch | None = None
    method: FullStringMatch | None = None
    authority: FullStringMatch | None = None
    headers: dict[str, StringMatch] = Field(default_factory=dict)
    without_headers: dict[str, StringMatch] = Field(default_factory=dict)
    query_params: dict[str, StringMatch] = Field(default_factory=dict)
    ignore_uri_case: bool = False
    port: PortNumber | None = None
    source_labels: Labels = Field(default_factory=dict)
    source_namespace: str | None = None
    gateways: list[str] = Field(default_factory=list)


class HTTPRouteDestination(IstioModel):
    """One of a route's destinations, with its share of the weights."""

    destination: Destination
    weight: NonNegative = 0
    headers: Headers | None = None


class HTTPRedirect(IstioModel):
    """Answer with a redirect."""

    unsupported: ClassVar[frozenset[str]] = frozenset({"prefixRewrite"})

    uri: str | None = None
    authority: str | None = None
    port: PortNumber | None = None
    derive_port: Literal["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"] | None = None
    scheme: Literal["http", "https"] | None = None
    redirect_code: Literal[301, 302, 303, 307, 308] = 301
    """Envoy knows these five; Istio's default is 301."""

    @model_validator(mode="after")
    def _says_something(self) -> HTTPRedirect:
        if self.port is not None and self.derive_port is not None:
            raise ValueError("takes at most one of port and derivePort")
        if not any((self.uri, self.authority, self.port, self.derive_port, self.scheme)):
            raise ValueError("a redirect names at least one of uri, authority, port, derivePort and scheme")
        return self


class HTTPBody(IstioModel):
    """The body of a direct response."""

    unsupported: ClassVar[frozenset[str]] = frozenset({"bytes"})

    string: str | None = None


class HTTPDirectResponse(IstioModel):
    """Answer at once, without a destination."""

    status: int = Field(ge=200, le=599)
    body: HTTPBody | None = None


class RegexRewrite(IstioModel):
    r"""Replace what `match` finds in the path by `rewrite` (which may name groups as `\1`)."""

    match: Regex
    rewrite: str = ""


class HTTPRewrite(IstioModel):
    """Change path and authority before forwarding."""

    uri: str | None = None
    authority: str | None = None
    uri_regex_rewrite: RegexRewrite | None = None

    @model_validator(mode="after")
    def _says_something(self) -> HTTPRewrite:
        if self.uri is not None and self.uri_regex_rewrite is not None:
            raise ValueError("takes at most one of uri and uriRegexRewrite")
        if not self.uri and not self.authority and self.uri_regex_rewrite is None:
            raise ValueError("a rewrite names at least one of uri, uriRegexRewrite and authority")
        return self


class HTTPMirrorPolicy(IstioModel):
    """A copy of requests goes to `destination`; no percentage means all, 0 means none."""

    destination: Destination
    percentage: Percent | None = None

    @property
    def effective_percent(self) -> float:
        """How many of a hundred requests are copied."""
        return 100.0 if self.percentage is None else self.percentage.value


class HTTPRoute(IstioModel):
    """One rule: the first whose match holds decides about a request."""

    unsupported: ClassVar[frozenset[str]] = frozenset({"corsPolicy", "delegate"})
    also_spelled: ClassVar[frozenset[str]] = frozenset({"mirror_percent"})

    name: str | None = None
    match: list[HTTPMatchRequest] = Field(default_factory=list)
    route: list[HTTPRouteDestination] = Field(default_factory=list)
    redirect: HTTPRedirect | None = None
    direct_response: HTTPDirectResponse | None = None
    rewrite: HTTPRewrite | None = None
    timeout: Duration | None = None
    retries: HTTPRetry | None = None
    fault: HTTPFaultInjection | None = None
    mirror: Destination | None = None
    mirrors: list[HTTPMirrorPolicy] = Field(default_factory=list)
    mirror_percent: WholePercent | None = None
    mirror_percentage: Percent | None = None
    headers: Headers | None = None

    @model_validator(mode="after")
    def _one_answer(self) -> HTTPRoute:
        answers = [
            name
            for name, given in (
                ("route", bool(self.route)),
                ("redirect", self.redirect is not None),
                ("directResponse", self.direct_response is not None),
            )
            if given
        ]
        if not answers:
            raise ValueError("an http rule needs a route, a redirect or a directResponse")
        if len(answers) > 1:
            raise ValueError(f"an http rule takes one of {' and '.join(answers)}, not both")
        if answers != ["route"]:
            for name, given in (
                ("fault", self.fault),
                ("rewrite", self.rewrite),
                ("mirror", self.mirror or self.mirrors),
            ):
                if given:
                    raise ValueError(f"{name} needs a route and can't stand beside {answers[0]}")
        if self.mirror is not None and self.mirrors:
            raise ValueError("an http rule takes one of mirror and mirrors, not both")
        return self

    def all_mirrors(self) -> list[HTTPMirrorPolicy]:
        """`mirror` (with `mirrorPercentage`, or the older `mirrorPercent`) and `mirrors` in one form."""
        if self.mirror is None:
            return list(self.mirrors)
        percentage = self.mirror_percentage
        if percentage is None and self.mirror_percent is not None:
            percentage = Percent(value=float(self.mirror_percent))
        return [HTTPMirrorPolicy(destination=self.mirror, percentage=percentage)]


class VirtualService(IstioModel):
    """The spec of a VirtualService."""

    unsupported: ClassVar[frozenset[str]] = frozenset({"tls", "tcp"})

    hosts: list[Host] = Field(min_length=1)
    gateways: list[str] = Field(default_factory=list)
    """As written; `effective_gateways` fills in the default."""
    http: list[HTTPRoute] = Field(min_length=1)
    export_to: ExportTo = Field(default_factory=list)

    @property
    def effective_gateways(self) -> list[str]:
        """`gateways`, or `["mesh"]` when none is named."""
        return self.gateways or ["mesh"]

    @model_validator(mode="after")
    def _no_wildcard_in_the_mesh(self) -> VirtualService:
        if "*" in self.hosts and "mesh" in self.effective_gateways:
            raise ValueError(
                'the host "*" needs a gateway: sidecars (the gateway "mesh") take no VirtualService for all hosts'
            )
        return self
