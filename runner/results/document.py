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


class GeneratorRecord(Record):
    """How well the load generator kept its own promise."""

    scheduled: int = 0
    cpu: float = 0.0
    """Of the busiest process, in cores."""
    cores: int = 1
    """How many that process can use at once."""
    qps: float = 0.0
    """What fortio's connections should have kept to, requests per second; 0 for as fast as they could."""
    lag_ms: Latency = Field(default_factory=Latency)


class Switch(Record):
    """A change of the mesh while load ran, in seconds from the window's start."""

    begun: float
    """The proxies were read for the first time; what they count from here to `ended` belongs to no phase."""
    requested: float
    """The change was asked for: the seconds from here to `confirmed` belong to no phase."""
    confirmed: float
    """Every proxy held it."""
    ended: float
    """The proxies were read again."""


class Switches(Record):
    """When a trial's phases began and ended, as far as it came."""

    on: Switch
    off: Switch | None = None
    """None where the window was cut short before."""
    increases: dict[str, dict[str, dict[str, int]]] = Field(default_factory=dict)
    """By phase, workload and full stat name: how much a counter grew between the phase's two edges. Load does not drain there, so a
    request under way at an edge counts where its counter moves."""


class TrialPhase(Figures):
    """One phase of one trial: the whole seconds that lie in it, by due (closed loop: sending) moment."""

    name: Literal["before", "during", "after"]
    start: int
    """Its first second, from the window's start."""
    seconds: int
    """How many whole seconds."""
    attestation: Attestation = Field(default_factory=Attestation)


class TrialPhases(Record):
    """The phases of one trial."""

    on: Switch
    off: Switch | None = None
    parts: list[TrialPhase] = Field(default_factory=list)
    time_to_detect_s: float | None = None
    """From the confirmed switch-on to the end of the first second that breaks the objective, which is when an alert could fire first;
    None when there is none."""
    time_to_recover_s: float | None = None
    """From the confirmed switch-off to the start of the first of three whole seconds in a row that keep the objective; None when there
    are none."""
    detected: str = ""
    """What `time_to_detect_s` came to, in words; empty without an objective."""
    recovered: str = ""


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
    native: str = ""
    """The generator's own result, relative to the run folder, where it has one (fortio's JSON)."""
    phases: TrialPhases | None = None


class ManifestRecord(Record):
    """One manifest as it was applied."""

    name: str
    """As the experiment file names it; `inline` for one written there."""
    file: str
    """The copy under `manifests/` in the run folder, byte for byte."""
    resources: list[str]
    """`Kind namespace/name` of each."""


class CapacityStep(Record):
    """One trial of a capacity search."""

    phase: Literal["double", "bisect", "confirm", "refine"]
    rate: float
    """Arrivals per second, as asked for."""
    seconds: float
    """That it counts for; the load before it not among them."""
    load_s: float
    """Seconds of load, those before it included; fewer when it was ended early because its failure was certain."""
    outcome: Literal["held", "failed", "spoiled"]
    because: str
    """The objective's tightest condition as it was seen, or why the trial says nothing."""
    invalid_because: list[Invalid] = Field(default_factory=list)
    strain: float | None = None
    """How much of what the objective allows was used: 1 at the limit; None where it can't be told."""
    loss: float = 0.0
    """Share of arrivals that were dropped, failed, or slower than the objective allows."""
    started: str = ""
    requests: int = 0
    error_rate: float = 0.0
    dropped: int = 0
    latency_ms: Latency = Field(default_factory=Latency)
    generator: GeneratorRecord = Field(default_factory=GeneratorRecord)


class CapacitySearch(Record):
    """One search for the highest arrival rate that keeps the objective."""

    block: int
    ending: Literal["found", "wide", "lower_end_fails", "upper_end_holds", "spoiled", "out_of_load", "stopped"]
    sentence: str
    """What it came to, with its numbers."""
    rate: float | None = None
    low: float | None = None
    """The highest rate at which the objective was confirmed to be kept."""
    high: float | None = None
    """The lowest rate at which it was confirmed not to be."""
    throughput: float | None = None
    """MLRsearch's conditional throughput: what of `low` got what the objective promises."""
    knee: float | None = None
    """The rate with the most requests per second for its median response (Kleinrock's power)."""
    load_s: float = 0.0
    steps: list[CapacityStep] = Field(default_factory=list)


class CapacityGoal(Record):
    """What a capacity run searched for."""

    objective: str
    start: float
    to: float
    width: float
    """How far apart the bounds may be, relative to the lower one."""
    seconds: float
    """Of a trial that counts fully."""
    duration_sum: float
    exceed: float
    most_load_s: float
    """Seconds of load that one search may make."""


class PhaseRecord(Figures):
    """One phase of a variant, over all its valid trials."""

    name: Literal["before", "during", "after"]
    seconds: int = 0
    """Whole seconds measured, of all trials together."""
    intervals: dict[str, Interval] = Field(default_factory=dict)
    """As a variant's."""
    proxy: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Counters that moved; load does not drain between phases."""


class PhasesRecord(Record):
    """What was switched on and off while a variant was under load, and what came of it."""

    before_s: float
    during_s: float
    after_s: float
    objective: str = ""
    manifests: list[ManifestRecord] = Field(default_factory=list)
    """What was switched on, laid over the variant's own."""
    parts: list[PhaseRecord] = Field(default_factory=list)
    time_to_detect_s: Interval | None = None
    """The mean over trials; None without an objective, or where it can't be said (`detected` has the reason)."""
    time_to_recover_s: Interval | None = None
    detected: str = ""
    """In a sentence."""
    recovered: str = ""


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
    """After `capacity` only: `rate`, the estimate, with `low` and `high`, the bounds of the search or of all searches together."""
    capacity_searches: list[CapacitySearch] = Field(default_factory=list)
    manifests: list[ManifestRecord] = Field(default_factory=list)
    trials: list[TrialRecord] = Field(default_factory=list)
    load: str = ""
    """The load in words: `20/s uniform arrivals from the gateway`."""
    family: str = ""
    """The variant's key in the experiment file, before the matrix: variants of one key are one family."""
    matrix: dict[str, str] = Field(default_factory=dict)
    """The matrix values that made it, by variable, as the experiment file spells them; empty for any other variant."""
    phases: PhasesRecord | None = None


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
    confidence: float = 0.95
    """Of the interval; more where several comparisons gate one run, so that all of them hold together at 95 %."""
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
    url: str | None = None
    """The target of kind none, without a user's name and password."""
    istio: str | None = None
    """The control plane's version, of a cluster."""
    revisions: list[str] = Field(default_factory=list)
    """Istio's revisions that the proxies belong to."""


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
    aa: bool = False
    """Whether the baseline ran against itself (`--aa`), to see what difference this set-up can see."""
    resolution: dict[str, float] = Field(default_factory=dict)
    """Of an A/A run, by metric: half the width of its 95 % interval (relative; of shares the difference)."""
    open_loop: bool = True
    blocks: int = 0
    """Blocks asked for."""
    warmup_s: float = 0.0
    duration_s: float = 0.0
    capacity: CapacityGoal | None = None
    """Of a capacity run: what was searched for. Each of its trials is a whole search."""
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
