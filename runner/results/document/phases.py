"""What was switched on and off under load: of one trial, and of a variant over all its valid trials."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from runner.results.document import Record
from runner.results.document.attestation import Attestation
from runner.results.document.figures import Figures, Interval
from runner.results.document.manifest import ManifestRecord


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
