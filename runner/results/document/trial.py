"""One variant under load once, and whether it may count."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from runner.results.document import Record
from runner.results.document.attestation import Attestation
from runner.results.document.figures import Figures, Latency
from runner.results.document.phases import TrialPhases


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


class ValidityNote(Record):
    """One reason why a trial does not count, with the numbers behind it."""

    code: Invalid
    detail: str


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
