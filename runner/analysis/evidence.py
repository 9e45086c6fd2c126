"""What analysis is given of each trial, and which trials count."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from runner.analysis.tally import Tally, tally_window
from runner.results.phases import part_of, spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.results.document.figures import Interval
    from runner.results.document.phases import Switches
    from runner.results.window import Window
    from runner.spec.checks import Condition
    from runner.spec.metrics import Metric


@dataclass
class TrialEvidence:
    """One trial as analysis sees it.

    Attributes:
        block: from 1.
        attempt: 1, or 2 when the block ran again.
        variant: the variant's name.
        window: the measured window, drained.
        increases: by workload, by full stat name: how much a counter grew over the window. A workload
            whose proxy was read is here even when nothing moved.
        services: by service, the workloads behind it.
        promql: by the entry's name, what the query gave for the window; None where it gave nothing.
        absent: by name of the evidence (a PromQL entry, `proxy`), why it could not be had.
        valid: whether the trial may count.
        invalid_because: the codes of why not, when it may not.
        known: by workload, the names of all its proxy's counters, moved or not; empty when they were not kept.
        setting: the load, where it went, and the config that every proxy held: the same in two trials means that nothing
            between them differed; empty where it is not known.
        capacity: of a capacity search, which is a trial too: what it found (arrivals per second), with its bounds.
        switches: when the mesh was changed within the window, and what counters did in each phase; None without phases.
        objective: what a second of a trial with phases should keep; empty without one.
        foreign: by workload whose counters hold somebody else's requests too, why that is clear.
    """

    block: int
    attempt: int
    variant: str
    window: Window
    increases: dict[str, dict[str, int]] = field(default_factory=dict)
    services: dict[str, list[str]] = field(default_factory=dict)
    promql: dict[str, float | None] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    valid: bool = True
    invalid_because: list[str] = field(default_factory=list)
    known: dict[str, frozenset[str]] = field(default_factory=dict)
    capacity: Interval | None = None
    setting: str = ""
    switches: Switches | None = None
    objective: tuple[Condition, ...] = ()
    foreign: dict[str, str] = field(default_factory=dict)

    @cached_property
    def _tallies(self) -> tuple[Tally, dict[str, Tally]]:
        return tally_window(self.window)

    @cached_property
    def _parts(self) -> dict[str, TrialEvidence]:
        """By phase, what is known of it alone; empty for one that was not reached."""
        switches = self.switches
        reached = spans(switches, self.window.length) if switches else {}
        return {
            phase: replace(
                self,
                window=part_of(self.window, seconds),
                increases=switches.increases.get(phase, {}) if switches else {},
                switches=None,
            )
            for phase, seconds in reached.items()
        }

    def of(self, metric: Metric) -> TrialEvidence | None:
        """What a metric is measured in: the trial, or the phase that the metric names; None for one that was not reached."""
        return self if metric.phase is None else self._parts.get(metric.phase)

    @property
    def names(self) -> list[str]:
        """The request names that were seen."""
        return list(self._tallies[1])

    def tally(self, request: str | None = None) -> Tally:
        """The window's sums, of all requests or of one name (all zero where that name was never requested)."""
        whole, by_name = self._tallies
        if request is None:
            return whole
        return by_name.get(request) or Tally(length=self.window.length)


def latest(trials: Sequence[TrialEvidence]) -> list[TrialEvidence]:
    """The trials of each block's last attempt, valid or not: those of an attempt that was repeated never count."""
    last: dict[int, int] = {}
    for trial in trials:
        last[trial.block] = max(last.get(trial.block, 0), trial.attempt)
    return [trial for trial in trials if trial.attempt == last[trial.block]]


def counting(trials: Sequence[TrialEvidence], variant: str) -> list[TrialEvidence]:
    """The trials of a variant that count, by block: valid, and of the block's last attempt."""
    return sorted((t for t in latest(trials) if t.variant == variant and t.valid), key=lambda trial: trial.block)


def lost_blocks(trials: Sequence[TrialEvidence], variant: str) -> list[int]:
    """The blocks whose trial of a variant stayed invalid, even where the block ran again."""
    return sorted(t.block for t in latest(trials) if t.variant == variant and not t.valid)


def paired(trials: Sequence[TrialEvidence], variant: str, baseline: str) -> list[tuple[TrialEvidence, TrialEvidence]]:
    """(variant's trial, baseline's trial) of every block in which both count, by block."""
    theirs = {trial.block: trial for trial in counting(trials, baseline)}
    return [(trial, theirs[trial.block]) for trial in counting(trials, variant) if trial.block in theirs]
