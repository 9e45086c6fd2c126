"""What was read off the mesh in a window beside its counters, and what could not be had."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from runner.results.document import Record


class AccessLogEntry(Record):
    """One line of a proxy's access log, for the sample that the report shows."""

    proxy: str
    time: str
    method: str
    path: str
    authority: str
    status: int
    flags: str
    details: str
    duration_ms: int
    upstream_cluster: str
    upstream_host: str
    line: str


class Edge(Record):
    """Requests from one workload to another in the window, in Istio's standard metric terms."""

    reporter: str
    source: str
    destination: str
    """Destination workload; empty where the proxy chose no host (overflow, abort)."""
    service: str
    """Destination service's full name."""
    code: str
    flags: str
    requests: int
    duration_ms: float | None = None
    """Mean of `istio_request_duration_milliseconds`, when the histogram was read."""


class ControlPlane(Record):
    """What istiod counted between two moments, of all proxies that it serves."""

    pushes: dict[str, int] = Field(default_factory=dict)
    """Pushes sent, by xDS type: `cds`, `eds`, `lds`, `rds`."""
    rejects: int = 0
    """Pushes that some proxy refused (`pilot_total_xds_rejects`)."""
    errors: int = 0
    """Pushes that failed otherwise: internal errors, timeouts, broken streams."""
    converged: int = 0
    """Pushes timed by `pilot_proxy_convergence_time`."""
    convergence_ms: float | None = None
    """Their mean time from the change to the proxy; None where there was none."""


class PartUsage(Record):
    """CPU and memory of one part of a workload, all its instances together."""

    workload: str
    part: Literal["proxy", "app"]
    cores: float | None = None
    """Mean cores in use over the window; None where it is not known."""
    memory_mb: float | None = None
    """In use at the window's end, in units of 10^6 bytes."""


class AbsentEvidence(Record):
    """Evidence that was asked for and could not be had."""

    name: str
    reason: str
