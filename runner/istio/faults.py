"""What a VirtualService's route does on purpose and against failure: injected faults, and retries.

Rules are those of istiod's validation and of Envoy's fault and router filters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from runner.istio.fields import Duration, IstioModel, NonNegative, Percent, WholePercent

RETRY_ON = (
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
)
"""Envoy's retry policies (`x-envoy-retry-on`, `x-envoy-retry-grpc-on`) that istiod lets through."""

GRPC_STATUS = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""gRPC's status codes by number: the index is the code."""


class Delay(IstioModel):
    """Hold requests for `fixed_delay` seconds."""

    unsupported: ClassVar[frozenset[str]] = frozenset({"exponentialDelay"})

    percentage: Percent | None = None
    percent: WholePercent | None = None
    fixed_delay: Duration

    @property
    def effective_percent(self) -> float | None:
        """How many of a hundred requests are hit: `percentage`, else the older `percent`; None: it never fires."""
        return _effective_percent(self.percentage, self.percent)


class Abort(IstioModel):
    """Answer requests with an error instead of forwarding them."""

    unsupported: ClassVar[frozenset[str]] = frozenset({"http2Error"})

    percentage: Percent | None = None
    percent: WholePercent | None = None
    http_status: int | None = Field(default=None, ge=200, le=599)
    grpc_status: str | None = None
    """A name of `GRPC_STATUS`, or its number."""

    @field_validator("grpc_status")
    @classmethod
    def _known_status(cls, value: str | None) -> str | None:
        if value is not None and value not in GRPC_STATUS and value not in map(str, range(len(GRPC_STATUS))):
            raise ValueError(f"{value!r} is no gRPC status; one of {', '.join(GRPC_STATUS)}")
        return value

    @model_validator(mode="after")
    def _one_error(self) -> Abort:
        if (self.http_status is None) == (self.grpc_status is None):
            raise ValueError("an abort takes exactly one of httpStatus and grpcStatus")
        return self

    @property
    def effective_percent(self) -> float | None:
        """How many of a hundred requests are hit: `percentage`, else the older `percent`; None: it never fires."""
        return _effective_percent(self.percentage, self.percent)


def _effective_percent(percentage: Percent | None, percent: int | None) -> float | None:
    if percentage is not None:
        return percentage.value
    return None if percent is None else float(percent)


class HTTPFaultInjection(IstioModel):
    """A delay, an abort, or both."""

    delay: Delay | None = None
    abort: Abort | None = None

    @model_validator(mode="after")
    def _says_something(self) -> HTTPFaultInjection:
        if self.delay is None and self.abort is None:
            raise ValueError("a fault takes a delay, an abort, or both")
        return self


class HTTPRetry(IstioModel):
    """Retry policy of a route; `attempts` 0 turns retries off."""

    unsupported: ClassVar[frozenset[str]] = frozenset({"retryIgnorePreviousHosts"})

    attempts: NonNegative = 0
    per_try_timeout: Duration | None = None
    retry_on: str | None = None
    retry_remote_localities: bool | None = None
    """Makes no difference in a mesh of one locality."""
    backoff: Duration | None = None

    @field_validator("retry_on")
    @classmethod
    def _known_policies(cls, value: str | None) -> str | None:
        for policy in (value or "").split(",") if value else ():
            word = policy.strip()
            if word not in RETRY_ON and not (word.isdecimal() and 100 <= int(word) <= 599):  # noqa: PLR2004 - HTTP statuses
                raise ValueError(f"{word!r} is no retryOn policy; one of {', '.join(RETRY_ON)}, or an HTTP status")
        return value

    @model_validator(mode="after")
    def _off_means_off(self) -> HTTPRetry:
        if self.attempts == 0 and (self.per_try_timeout is not None or self.retry_on):
            raise ValueError(
                "attempts 0 (also its default) turns retries off, so perTryTimeout and retryOn can't be set"
            )
        return self


@dataclass(frozen=True, order=True, slots=True)
class ExpectedFault:
    """A fault that traffic must set off for an experiment to mean anything.

    Attributes:
        kind: `delay` or `abort`.
        hosts: full names of the services that the fault's route leads to; empty where they can't be told.
    """

    kind: Literal["delay", "abort"]
    hosts: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} fault" + (f" of {' or '.join(self.hosts)}" if self.hosts else "")
