"""`meshtrial capacity`: for each variant a search for the highest arrival rate that keeps the objective, within a run like any other.

A search is one trial of its variant: the config is applied once, attested at both edges of every step, and restored. What was
measured over all steps is one trial file; each step stands in the document as well.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from runner.analysis.capacity import Search
from runner.analysis.capacity_sum import knee
from runner.analysis.capacity_trial import Hopeless, Judged, judge_trial, planned_in, without_lead
from runner.analysis.capacity_types import Ending, Outcome, Trial
from runner.analysis.capacity_words import search_sentence
from runner.analysis.figures import figures, latency
from runner.analysis.validity_types import Validity
from runner.conduct.capacity_merge import merged, merged_window
from runner.conduct.capacity_record import CapacityRecord, goal_of
from runner.conduct.mending import died_during, mended
from runner.conduct.run import GuardrailCrossedError, Method
from runner.conduct.trial import rfc3339, setting_of
from runner.errors import MeshtrialError
from runner.results.document.capacity import CapacitySearch, CapacityStep
from runner.results.document.figures import Interval
from runner.results.document.trial import GeneratorRecord, Invalid
from runner.spec.load_profile import Arrivals
from runner.units import format_rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.analysis.capacity_types import Goal, Proposal
    from runner.conduct.plan import Plan, TrialPlan
    from runner.conduct.progress import Progress
    from runner.conduct.record import RunRecord
    from runner.conduct.trial import Conductor, TrialOutcome

BETWEEN = 1.0
"""Seconds that a step takes beside its load, for the estimate only."""

REPEATS = 1
"""How often a search goes on after something died: as often as a block of `meshtrial run` runs again."""
_KEPT = {Invalid.FAULT_NOT_FIRED, Invalid.CONFIG_LOST, Invalid.PROXY_DIED, Invalid.NO_TRAFFIC}


@dataclass(slots=True)
class _Searcher:
    """Carries one search out, the variant's config applied.

    Attributes:
        steps: everything that was tried.
        outcomes: what each step gave, None where that does not count because something died; at the end that of a step which a
            guardrail ended.
        deaths: what died, in words, each time that something did.
    """

    conductor: Conductor
    record: CapacityRecord
    progress: Progress
    trial: TrialPlan
    goal: Goal
    steps: list[CapacityStep] = field(default_factory=list)
    outcomes: list[TrialOutcome | None] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)
    _dice: random.Random = field(init=False)
    _shift: float = field(init=False)
    _search: Search = field(init=False)
    _cold: bool = True
    _warmups: int = 0
    _died: bool = False
    _last: TrialOutcome | None = None

    def __post_init__(self) -> None:
        self._dice = random.Random(f"{self.trial.seed}/capacity")  # noqa: S311 - rates that can be repeated, not a secret
        self._shift = self._dice.random()
        self._search = Search(self.goal, shift=self._shift)

    def search(self) -> CapacitySearch | None:
        """Search, or go on with it; a guardrail that was crossed ends it early. None when something died: mend, and go on."""
        self._died = False
        while self._search.proposal is not None:
            proposal = self._search.proposal
            outcome = self._last = self._measured(proposal, self._dice.randrange(2**31))
            if outcome.crossing:
                self.outcomes.append(outcome)
                self.record.abort(self.trial, outcome.crossing)
                return self.result("stopped", f"A guardrail ended it: {outcome.crossing.observed}.")
            deaths = died_during(self.conductor.mesh, outcome.evidence.window)
            self._search.feed(self._judged(proposal, outcome, deaths))
            if deaths:
                self._died = True
                self.outcomes[-1] = None
                return None
        found = self._search.found()
        return self.result(found.ending.value, search_sentence(found, self.goal, self._objective, self.steps))

    def mourn(self, deaths: Sequence[str]) -> None:
        """Take note of what died; where it was seen only after the last step, that one does not count."""
        if not self._died and self.steps:
            *kept, last = self._search.trials
            self._search = Search(self.goal, shift=self._shift)
            for trial in kept:
                self._search.feed(trial)
            self._search.feed(replace(last, outcome=Outcome.SPOILED))
            told = {"outcome": "spoiled", "because": "; ".join(deaths), "invalid_because": [Invalid.PROXY_DIED]}
            self.steps[-1] = self.steps[-1].model_copy(update=told)
            self.outcomes[-1] = None
        self.deaths.append("; ".join(deaths))
        self._cold = True

    def given_up(self) -> CapacitySearch:
        """What a search has come to in which something died once too often."""
        found = replace(self._search.found(), ending=Ending.SPOILED, rate=None)
        return self.result("spoiled", search_sentence(found, self.goal, self._objective, self.steps))

    @property
    def counted(self) -> list[TrialOutcome]:
        """What the steps that count gave; the very last one's when there is no such step, and nothing before the first."""
        counted = [outcome for outcome in self.outcomes if outcome is not None]
        return counted or ([] if self._last is None else [self._last])

    @property
    def _objective(self) -> str:
        return self.record.document.capacity.objective if self.record.document.capacity else ""

    def result(self, ending: str, sentence: str) -> CapacitySearch:
        """What the search has come to so far."""
        found = self._search.found()
        if self.deaths:
            sentence += f" What was measured while something died does not count ({'; '.join(self.deaths)})."
        return CapacitySearch.model_validate(
            {
                "block": self.trial.block,
                "ending": ending,
                "sentence": sentence,
                "rate": None if ending in {"stopped", "spoiled"} else found.rate,
                "low": found.low,
                "high": found.high,
                "throughput": found.throughput,
                "knee": knee([(step.rate, step.latency_ms.p50) for step in self.steps if step.outcome != "spoiled"]),
                "load_s": found.load + self._warmups * self.trial.variant.load.warmup,
                "steps": self.steps,
            }
        )

    def _measured(self, proposal: Proposal, seed: int) -> TrialOutcome:
        """Drive one proposal; the first one, and the first on a mended mesh, comes after the variant's warm-up at its rate."""
        load = self.trial.variant.load
        cold, self._cold = self._cold, False
        self._warmups += cold
        at_rate = load.model_copy(
            update={
                "arrivals": (load.arrivals or Arrivals(rate="20/s")).model_copy(
                    update={"rate": proposal.rate, "stages": None}
                ),
                "users": None,
                "warmup": load.warmup if cold else 0.0,
                "duration": proposal.lead + proposal.seconds,
            }
        )
        step = replace(self.trial, variant=replace(self.trial.variant, load=at_rate, phases=None), seed=seed)
        hopeless = Hopeless(
            self.conductor.plan.experiment.objective, round(proposal.rate * proposal.seconds), proposal.lead
        )
        return self.conductor.measure(step, 1, hopeless.see)

    def _judged(self, proposal: Proposal, outcome: TrialOutcome, deaths: Sequence[str]) -> Trial:
        """What one step says, kept and told."""
        whole = outcome.file.window
        outcome.evidence = replace(outcome.evidence, window=without_lead(whole, proposal.lead))
        outcome.file.window = window = outcome.evidence.window
        faultless = replace(self.trial, variant=replace(self.trial.variant, faults=frozenset()))
        planned = planned_in(window, proposal.rate, proposal.seconds)
        validity = self.record.judged(faultless, outcome)
        if deaths:
            validity.add(Invalid.PROXY_DIED, "; ".join(deaths))
        judged = judge_trial(
            outcome.evidence,
            self.conductor.plan.experiment.objective,
            validity,
            self.goal.duration_sum,
            planned,
        )
        self.outcomes.append(outcome)
        certain = not window.stopped or judged.outcome is Outcome.FAILED
        trial = Trial(
            proposal.rate,
            proposal.seconds if certain else window.length,
            judged.outcome,
            judged.strain,
            judged.loss,
            whole.length,
        )
        self._keep(proposal, trial, judged, outcome)
        return trial

    def _keep(self, proposal: Proposal, trial: Trial, judged: Judged, outcome: TrialOutcome) -> None:
        window = outcome.evidence.window
        seen = figures([window])
        self.steps.append(
            CapacityStep.model_validate(
                {
                    "phase": proposal.phase,
                    "rate": proposal.rate,
                    "seconds": trial.seconds,
                    "load_s": trial.load,
                    "outcome": judged.outcome.value,
                    "because": judged.because,
                    "invalid_because": list(judged.codes),
                    "strain": judged.strain if math.isfinite(judged.strain) else None,
                    "loss": judged.loss,
                    "started": rfc3339(window.started),
                    "requests": seen.requests,
                    "error_rate": seen.error_rate,
                    "dropped": seen.dropped,
                    "latency_ms": seen.latency_ms,
                    "generator": GeneratorRecord(
                        scheduled=window.scheduled,
                        cpu=window.generator_cpu,
                        cores=window.generator_cores,
                        lag_ms=latency(window.whole().lag),
                    ),
                }
            )
        )
        early = ", ended early" if window.stopped else ""
        self.progress.message(
            f"{self.trial.variant.name} at {format_rate(round(trial.rate, 1))}: {judged.outcome.value}{early} ({judged.because})"
        )


def _validity(searcher: _Searcher, outcome: TrialOutcome, search: CapacitySearch) -> Validity:
    """Whether a search may count: config held, faults fired, and no step that the generator spoiled at its end."""
    common = searcher.record.judged(searcher.trial, outcome)
    found = Validity([note for note in common.notes if note.code in _KEPT], [])
    if search.ending == "spoiled":
        last = [step for step in search.steps if step.outcome == Outcome.SPOILED.value][-1]
        for code in last.invalid_because:
            if code not in found.codes:
                found.add(code, f"at {format_rate(round(last.rate, 1))} {last.because}")
    return found


def _searches(plan: Plan, conductor: Conductor, record: RunRecord, progress: Progress) -> None:
    if not isinstance(record, CapacityRecord):
        raise TypeError(record)
    goals = {variant.name: goal_of(plan, variant.load) for variant in plan.variants}
    for block in range(1, plan.blocks + 1):
        for trial in plan.order(block):
            goal = goals[trial.variant.name]
            conductor.seconds = goal.most_load + trial.variant.load.warmup + BETWEEN * len(goals)
            _search(trial, goal, conductor, record, progress)


def _search(trial: TrialPlan, goal: Goal, conductor: Conductor, record: CapacityRecord, progress: Progress) -> None:
    searcher = _Searcher(conductor, record, progress, trial, goal)
    try:
        while (search := _went_on(searcher)) is None:
            conductor.done -= 1
            progress.message(
                f"{trial.variant.name}, block {trial.block}: {searcher.deaths[-1]}; mended, the search goes on"
            )
    except MeshtrialError as error:
        if searcher.counted:
            _keep(searcher, searcher.result("stopped", f"It was ended early: {error}"))
        raise
    _keep(searcher, search)
    progress.message(f"{trial.variant.name}, block {trial.block}: {search.sentence}")
    if search.ending == "stopped":
        raise GuardrailCrossedError


def _went_on(searcher: _Searcher) -> CapacitySearch | None:
    """Apply, search, restore; None when something died and the mesh was mended, so that the search can go on.

    Raises:
        MeshError: the mesh could not be mended, or did not do its part.
    """
    conductor, trial = searcher.conductor, searcher.trial
    with conductor.applied(trial):
        search = searcher.search()
    deaths = conductor.mesh.deaths()
    if not deaths:
        return search
    if search is not None and search.ending == "stopped":
        return search
    searcher.mourn(deaths)
    mended(conductor.mesh, deaths, f"during the search for {trial.variant.name}, block {trial.block}")
    return searcher.given_up() if len(searcher.deaths) > REPEATS else None


def _keep(searcher: _Searcher, search: CapacitySearch) -> None:
    """Keep a search; the figures of its variant are those of the trials that held at the lower bound."""
    outcome = merged(searcher.counted)
    outcome.remarks += [f"a step does not count, because something died: {death}" for death in searcher.deaths]
    validity = _validity(searcher, outcome, search)
    at_low = [
        kept.evidence.window
        for kept, step in zip(searcher.outcomes, searcher.steps, strict=False)
        if kept is not None and step.rate == search.low and step.outcome == Outcome.HELD.value
    ]
    window = merged_window(at_low) if at_low else replace(outcome.evidence.window, seconds=[], length=0.0)
    found = Interval(estimate=search.rate, low=search.low, high=search.high)
    outcome.evidence = replace(
        outcome.evidence,
        window=window,
        capacity=found if search.rate is not None and validity.valid else None,
        setting=setting_of(
            searcher.trial.variant, {proxy: held.start for proxy, held in outcome.attestation.proxies.items()}
        ),
    )
    searcher.record.add_search(searcher.trial, search, outcome, validity)
    if search.rate is None:
        outcome.evidence.absent["capacity"] = search.sentence[:1].lower() + search.sentence[1:].rstrip(".")


CAPACITY = Method("capacity", CapacityRecord, _searches)
"""What `run` is given for a capacity run."""
