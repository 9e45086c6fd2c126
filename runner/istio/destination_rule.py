"""DestinationRule: subsets of a service, and how its clusters balance, limit and eject.

Fields and rules are those of istio.io/api 1.31 (`networking/v1alpha3/destination_rule.proto`, the CRD's schema)
and of istiod's validation.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from runner.istio.fields import (
    NOT_SUPPORTED,
    AnyDuration,
    DnsLabel,
    Duration,
    ExportTo,
    Host,
    IstioModel,
    Labels,
    NonNegative,
    PortSelector,
    UInt32,
    WholePercent,
)

DEFAULT_MAX_EJECTION_PERCENT = 10
"""Envoy's (`OutlierDetection.max_ejection_percent`), which istiod leaves alone when the field is absent."""


class TcpKeepalive(IstioModel):
    """SO_KEEPALIVE of upstream connections; what is absent is the operating system's."""

    probes: UInt32 | None = None
    time: Duration | None = None
    interval: Duration | None = None


class TCPSettings(IstioModel):
    """Limits of all upstream connections."""

    max_connections: NonNegative | None = None
    connect_timeout: Duration | None = None
    idle_timeout: Duration | None = None
    max_connection_duration: Duration | None = None
    tcp_keepalive: TcpKeepalive | None = None


class HTTPSettings(IstioModel):
    """Limits of upstream HTTP connections; 0 and absent mean Istio's defaults."""

    unsupported: ClassVar[frozenset[str]] = frozenset({"http2KeepAlive"})

    http1_max_pending_requests: NonNegative | None = None
    http2_max_requests: NonNegative | None = None
    max_requests_per_connection: NonNegative | None = None
    max_retries: NonNegative | None = None
    idle_timeout: Duration | None = None
    max_concurrent_streams: NonNegative | None = None
    use_client_protocol: bool = False
    h2_upgrade_policy: Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"] = "DEFAULT"

    @model_validator(mode="after")
    def _one_protocol(self) -> HTTPSettings:
        if self.use_client_protocol and self.h2_upgrade_policy == "UPGRADE":
            raise ValueError("useClientProtocol can't be true when h2UpgradePolicy is UPGRADE")
        return self


class ConnectionPoolSettings(IstioModel):
    """Circuit breaker: limits on connections and requests."""

    tcp: TCPSettings | None = None
    http: HTTPSettings | None = None

    @model_validator(mode="after")
    def _says_something(self) -> ConnectionPoolSettings:
        if self.tcp is None and self.http is None:
            raise ValueError("a connectionPool takes tcp, http, or both")
        return self


class OutlierDetection(IstioModel):
    """Which hosts are ejected from the load balancing pool, for how long, and how many at most."""

    unsupported: ClassVar[frozenset[str]] = frozenset({"outlierDetectionHttpErrorCodes"})

    consecutive_5xx_errors: UInt32 | None = Field(default=None, alias="consecutive5xxErrors")
    consecutive_gateway_errors: UInt32 | None = None
    consecutive_errors: NonNegative | None = None
    """Deprecated: istiod ignores it, lint says so."""
    split_external_local_origin_errors: bool = False
    consecutive_local_origin_failures: UInt32 | None = None
    interval: Duration | None = None
    base_ejection_time: Duration | None = None
    max_ejection_percent: WholePercent | None = None
    min_health_percent: WholePercent | None = None

    @model_validator(mode="after")
    def _local_origin_needs_the_split(self) -> OutlierDetection:
        if self.consecutive_local_origin_failures and not self.split_external_local_origin_errors:
            raise ValueError("consecutiveLocalOriginFailures needs splitExternalLocalOriginErrors: true")
        return self


class HTTPCookie(IstioModel):
    """The cookie that is hashed; Envoy sets it when a `ttl` is given (0s: a session cookie)."""

    unsupported: ClassVar[frozenset[str]] = frozenset({"attributes"})

    name: str = Field(min_length=1)
    path: str | None = None
    ttl: AnyDuration | None = None


class RingHash(IstioModel):
    """Ring hashing; Istio's default ring has 1024 entries at least."""

    minimum_ring_size: Annotated[int, Field(ge=0)] | None = None


def _prime(value: int) -> int:
    if value < 2 or any(value % factor == 0 for factor in range(2, int(value**0.5) + 1)):  # noqa: PLR2004 - the first prime
        raise ValueError(f"{value} is not a prime number, which Maglev needs")
    return value


class MagLev(IstioModel):
    """Maglev hashing; Envoy's default table has 65537 entries."""

    table_size: Annotated[int, Field(ge=2, le=5000011), AfterValidator(_prime)] | None = None


class ConsistentHashLB(IstioModel):
    """Requests with the same key go to the same host."""

    http_header_name: str | None = None
    http_cookie: HTTPCookie | None = None
    use_source_ip: bool | None = None
    http_query_parameter_name: str | None = None
    ring_hash: RingHash | None = None
    maglev: MagLev | None = None
    minimum_ring_size: Annotated[int, Field(ge=0)] | None = None
    """Deprecated: `ringHash.minimumRingSize`."""

    @model_validator(mode="after")
    def _one_key_one_algorithm(self) -> ConsistentHashLB:
        keys = (self.http_header_name, self.http_cookie, self.use_source_ip, self.http_query_parameter_name)
        if sum(key is not None for key in keys) != 1:
            raise ValueError("takes exactly one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName")
        if self.ring_hash is not None and self.maglev is not None:
            raise ValueError("takes at most one of ringHash and maglev")
        return self


class LoadBalancerSettings(IstioModel):
    """How a host is chosen; Istio's default is LEAST_REQUEST."""

    unsupported: ClassVar[frozenset[str]] = frozenset(
        {"localityLbSetting", "zoneAwareLbSetting", "warmupDurationSecs", "warmup"}
    )

    simple: Literal["UNSPECIFIED", "LEAST_CONN", "LEAST_REQUEST", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN"] | None = None
    consistent_hash: ConsistentHashLB | None = None

    @model_validator(mode="after")
    def _one_policy(self) -> LoadBalancerSettings:
        if self.simple is not None and self.consistent_hash is not None:
            raise ValueError("takes exactly one of simple and consistentHash")
        return self


def _tls_mode(value: str) -> str:
    if value in {"SIMPLE", "MUTUAL"}:
        raise ValueError(f"the mode {value}, TLS with certificates of one's own, is one of Istio's {NOT_SUPPORTED}")
    return value


class ClientTLSSettings(IstioModel):
    """How connections to a service are secured; without it, sidecars find out by themselves (auto mTLS)."""

    unsupported: ClassVar[frozenset[str]] = frozenset(
        {
            "clientCertificate",
            "privateKey",
            "caCertificates",
            "caCrl",
            "credentialName",
            "subjectAltNames",
            "sni",
            "insecureSkipVerify",
        }
    )

    mode: Annotated[Literal["DISABLE", "ISTIO_MUTUAL"], BeforeValidator(_tls_mode)] = "DISABLE"
    """DISABLE is the zero value of Istio's enum, so that `tls: {}` means it too."""


class PortTrafficPolicy(IstioModel):
    """A traffic policy for one port; it replaces the destination's as a whole."""

    tls: ClientTLSSettings | None = None
    port: PortSelector
    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None


class TrafficPolicy(IstioModel):
    """Balancing, limits and ejection of a service's clusters."""

    unsupported: ClassVar[frozenset[str]] = frozenset({"tunnel", "proxyProtocol", "retryBudget"})

    tls: ClientTLSSettings | None = None
    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    port_level_settings: list[PortTrafficPolicy] = Field(default_factory=list)


class Subset(IstioModel):
    """A named part of a service's pods."""

    name: DnsLabel
    labels: Labels = Field(default_factory=dict)
    traffic_policy: TrafficPolicy | None = None
    """What it sets replaces the same part of the rule's own policy."""


class DestinationRule(IstioModel):
    """The spec of a DestinationRule."""

    unsupported: ClassVar[frozenset[str]] = frozenset({"workloadSelector"})

    host: Host
    traffic_policy: TrafficPolicy | None = None
    subsets: list[Subset] = Field(default_factory=list)
    export_to: ExportTo = Field(default_factory=list)

    @model_validator(mode="after")
    def _subsets_once(self) -> DestinationRule:
        names = [subset.name for subset in self.subsets]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the subset {', '.join(twice)} is defined twice")
        return self
