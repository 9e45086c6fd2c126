"""`run.json`: the versioned document that a run leaves, read by the report, `compare` and other people's programs.

Latencies in milliseconds, shares from 0 to 1, times RFC 3339 UTC. Fields are only ever added within a version.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    """Base of all records: written by alias, unknown keys of newer versions kept out of the way."""

    model_config = ConfigDict(populate_by_name=True, extra="ignore", serialize_by_alias=True)


class Verdict(StrEnum):
    """What a run, as a whole, came to; the worst of its parts, in this order."""

    ERROR = "error"
    ABORTED = "aborted"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    PASS = "pass"  # noqa: S105 - a verdict, no password


class Invalid(StrEnum):
    """Why a trial may not count."""

    FAULT_NOT_FIRED = "fault_not_fired"
    RATE_MISSED = "rate_missed"
    DROPPED = "dropped"
    LAG = "lag"
    GENERATOR_CPU = "generator_cpu"
    CONFIG_LOST = "config_lost"
    DRIFT = "drift"
    NO_TRAFFIC = "no_traffic"
    UNREACHABLE = "unreachable"
    PROXY_DIED = "proxy_died"
    NOT_STEADY = "not_steady"


class Latency(Record):
    """Quantiles, mean and greatest of answered requests, in milliseconds; None where no request was answered."""

    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p99_9: float | None = Field(default=None, alias="p99.9")
    mean: float | None = None
    max: float | None = None


class Figures(Record):
    """What was counted and timed: of a trial, of a variant, or of one request name in it."""

    requests: int = 0
    errors: int = 0
    error_rate: float = 0.0
    dropped: int = 0
    status: dict[str, int] = Field(default_factory=dict)
    exceptions: dict[str, int] = Field(default_factory=dict)
    outcomes: dict[str, int] = Field(default_factory=dict)
    rate: float = 0.0
    """Requests per second of measured time."""
    latency_ms: Latency = Field(default_factory=Latency)
    """Response time from the due moment under `arrivals`; service time in a closed loop."""
    service_ms: Latency = Field(default_factory=Latency)
    """From the sending to the last byte."""


class Interval(Record):
    """An estimate with its 95 % interval, in the unit of its metric; ends are None where the data can't bound it."""

    estimate: float | None = None
    low: float | None = None
    high: float | None = None


class ValidityNote(Record):
    """One reason why a trial does not count, with the numbers behind it."""

    code: Invalid
    detail: str


class ProxyVersions(Record):
    """The config version that a proxy held at the window's two edges."""

    start: str
    end: str


class Attestation(Record):
    """Proof of which config was in force, and that its faults fired."""

    proxies: dict[str, ProxyVersions] = Field(default_factory=dict)
    faults: dict[str, int] = Field(default_factory=dict)
    """By `<workload> <full stat name>`: how many faults were injected in the window."""


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


class GeneratorRecord(Record):
    """How well the load generator kept its own promise."""

    scheduled: int = 0
    cpu: float = 0.0
    """Of the busiest process, in cores."""
    lag_ms: Latency = Field(default_factory=Latency)


class TrialRecord(Figures):
    """One variant under load once."""

    block: int
    variant: str
    attempt: int = 1
    """2 when the block ran again because a trial of it was invalid."""
    superseded: bool = False
    """True when the block ran again: kept for the record, never counted."""
    started: str
    ended: str
    valid: bool = True
    invalid_because: list[Invalid] = Field(default_factory=list)
    notes: list[ValidityNote] = Field(default_factory=list)
    """The numbers behind `invalid_because`."""
    remarks: list[str] = Field(default_factory=list)
    """What could not be judged, and why (for example drift under `--quick`)."""
    attestation: Attestation = Field(default_factory=Attestation)
    generator: GeneratorRecord = Field(default_factory=GeneratorRecord)
    file: str = ""
    """The trial's own file, relative to the run folder: per-second histograms, stats at both edges, samples."""


class ManifestRecord(Record):
    """One manifest as it was applied."""

    name: str
    """As the experiment file names it; `inline` for one written there."""
    file: str
    """The copy under `manifests/` in the run folder, byte for byte."""
    resources: list[str]
    """`Kind namespace/name` of each."""


class VariantRecord(Figures):
    """One variant over all its valid trials."""

    name: str
    baseline: bool = False
    closed_loop: bool = False
    by_name: dict[str, Figures] = Field(default_factory=dict)
    intervals: dict[str, Interval] = Field(default_factory=dict)
    """By metric (`p50` ... in ms, `error_rate`, `outcome[label]`): 95 %, widened by the spread between trials."""
    proxy: dict[str, dict[str, int]] = Field(default_factory=dict)
    edges: list[Edge] = Field(default_factory=list)
    capacity: dict[str, float] | None = None
    manifests: list[ManifestRecord] = Field(default_factory=list)
    trials: list[TrialRecord] = Field(default_factory=list)
    load: str = ""
    """The load in words: `20/s uniform arrivals from the gateway`."""


class ComparisonRecord(Record):
    """One metric of one variant against another, paired by block."""

    metric: str
    variant: str
    baseline: str
    request: str | None = None
    estimate: float | None = None
    """Relative change for latency and counts (-0.5 is half), absolute difference for shares."""
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    """After Holm over the gating comparisons of the run; None for those that gate nothing."""
    outcome: Literal["better", "worse", "different", "equivalent", "inconclusive"] = "inconclusive"
    margin: float | None = None
    blocks: int = 0
    blocks_needed: int | None = None
    gating: bool = False
    sentence: str = ""
    differences: list[float] = Field(default_factory=list)
    """Per valid block, in the unit of `estimate`."""


class CheckRecord(Record):
    """What the user expected, and what came of it."""

    check: str
    outcome: Literal["held", "failed", "inconclusive"]
    observed: str
    """The observed value with its interval, as a person reads it."""
    reason: str = ""
    """One sentence for a reader who knows no statistics."""
    variant: str | None = None
    baseline: str | None = None


class GuardrailRecord(Record):
    """The guardrail that stopped the run."""

    rule: str
    variant: str
    block: int
    observed: str


class MeshRecord(Record):
    """Where the run took place."""

    model_config = ConfigDict(populate_by_name=True, extra="allow", serialize_by_alias=True)
    kind: Literal["local", "cluster", "none"]
    envoy: str | None = None
    app: str | None = None
    proxies: list[str] = Field(default_factory=list)
    joined: bool = False
    """Whether the run used a mesh that was already up."""


class AbsentEvidence(Record):
    """Evidence that was asked for and could not be had."""

    name: str
    reason: str


class RunDocument(Record):
    """The whole run."""

    version: Literal[1] = 1
    experiment: str
    question: str = ""
    description: str = ""
    verdict: Verdict = Verdict.ERROR
    reason: str = ""
    """Why the verdict is what it is, in one sentence."""
    headline: str = ""
    """The answer to the question in one sentence with its numbers."""
    seed: int = 0
    started: str = ""
    ended: str = ""
    quick: bool = False
    open_loop: bool = True
    blocks: int = 0
    """Blocks asked for."""
    warmup_s: float = 0.0
    duration_s: float = 0.0
    mesh: MeshRecord
    meshtrial: str = ""
    machine: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    command: str = ""
    """The command that repeats this run."""
    variants: list[VariantRecord] = Field(default_factory=list)
    comparisons: list[ComparisonRecord] = Field(default_factory=list)
    checks: list[CheckRecord] = Field(default_factory=list)
    guardrail: GuardrailRecord | None = None
    absent: list[AbsentEvidence] = Field(default_factory=list)
    restored: str = ""
    """What was verified after the run: that the mesh holds what it held before."""
    warnings: list[str] = Field(default_factory=list)
