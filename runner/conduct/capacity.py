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
from runner.analysis.capacity_types import Outcome, Trial
from runner.analysis.capacity_words import search_sentence
from runner.analysis.figures import figures, latency
from runner.analysis.validity import Validity
from runner.conduct.capacity_merge import merged, merged_window
from runner.conduct.capacity_record import CapacityRecord, goal_of
from runner.conduct.run import GuardrailCrossedError, Method
from runner.conduct.trial import rfc3339, setting_of
from runner.errors import MeshError, MeshtrialError
from runner.results.document import CapacitySearch, CapacityStep, GeneratorRecord, Interval, Invalid
from runner.spec.model import Arrivals
from runner.units import format_rate

if TYPE_CHECKING:
    from runner.analysis.capacity_types import Goal, Proposal
    from runner.conduct.plan import Plan, TrialPlan
    from runner.conduct.progress import Progress
    from runner.conduct.record import RunRecord
    from runner.conduct.trial import Conductor, TrialOutcome

BETWEEN = 1.0
"""Seconds that a step takes beside its load, for the estimate only."""
_KEPT = {Invalid.FAULT_NOT_FIRED, Invalid.CONFIG_LOST, Invalid.PROXY_DIED, Invalid.NO_TRAFFIC}


@dataclass(slots=True)
class _Searcher:
    """Carries one search out, the variant's config applied."""

    conductor: Conductor
    record: CapacityRecord
    progress: Progress
    trial: TrialPlan
    goal: Goal
    steps: list[CapacityStep] = field(default_factory=list)
    outcomes: list[TrialOutcome] = field(default_factory=list)
    _search: Search = field(init=False)

    def search(self) -> CapacitySearch:
        """Search; a guardrail that was crossed ends it early."""
        dice = random.Random(f"{self.trial.seed}/capacity")  # noqa: S311 - rates that can be repeated, not a secret
        search = self._search = Search(self.goal, shift=dice.random())
        while search.proposal is not None:
            proposal = search.proposal
            outcome = self._measured(proposal, dice.randrange(2**31))
            if outcome.crossing:
                self.outcomes.append(outcome)
                self.record.abort(self.trial, outcome.crossing)
                return self.result("stopped", f"A guardrail ended it: {outcome.crossing.observed}.")
            search.feed(self._judged(proposal, outcome))
        found = search.found()
        return self.result(found.ending.value, search_sentence(found, self.goal, self._objective, self.steps))

    @property
    def _objective(self) -> str:
        return self.record.document.capacity.objective if self.record.document.capacity else ""

    def result(self, ending: str, sentence: str) -> CapacitySearch:
        """What the search has come to so far."""
        found = self._search.found()
        return CapacitySearch.model_validate(
            {
                "block": self.trial.block,
                "ending": ending,
                "sentence": sentence,
                "rate": None if ending == "stopped" else found.rate,
                "low": found.low,
                "high": found.high,
                "throughput": found.throughput,
                "knee": knee([(step.rate, step.latency_ms.p50) for step in self.steps if step.outcome != "spoiled"]),
                "load_s": found.load + self.trial.variant.load.warmup,
                "steps": self.steps,
            }
        )

    def _measured(self, proposal: Proposal, seed: int) -> TrialOutcome:
        """Drive one proposal; the first one comes after the variant's warm-up at its rate."""
        load = self.trial.variant.load
        at_rate = load.model_copy(
            update={
                "arrivals": (load.arrivals or Arrivals(rate="20/s")).model_copy(
                    update={"rate": proposal.rate, "stages": None}
                ),
                "users": None,
                "warmup": 0.0 if self.steps else load.warmup,
                "duration": proposal.lead + proposal.seconds,
            }
        )
        step = replace(self.trial, variant=replace(self.trial.variant, load=at_rate, phases=None), seed=seed)
        hopeless = Hopeless(
            self.conductor.plan.experiment.objective, round(proposal.rate * proposal.seconds), proposal.lead
        )
        return self.conductor.measure(step, 1, hopeless.see)

    def _judged(self, proposal: Proposal, outcome: TrialOutcome) -> Trial:
        """What one step says, kept and told."""
        whole = outcome.file.window
        outcome.evidence = replace(outcome.evidence, window=without_lead(whole, proposal.lead))
        outcome.file.window = window = outcome.evidence.window
        faultless = replace(self.trial, variant=replace(self.trial.variant, faults=frozenset()))
        planned = planned_in(window, proposal.rate, proposal.seconds)
        judged = judge_trial(
            outcome.evidence,
            self.conductor.plan.experiment.objective,
            self.record.judged(faultless, outcome),
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
        with conductor.applied(trial):
            search = searcher.search()
    except MeshtrialError as error:
        if searcher.outcomes:
            _keep(searcher, searcher.result("stopped", f"It was ended early: {error}"))
        raise
    _keep(searcher, search)
    progress.message(f"{trial.variant.name}, block {trial.block}: {search.sentence}")
    deaths = conductor.mesh.deaths()
    if deaths:
        raise MeshError(
            f"{'; '.join(deaths)} during the search for {trial.variant.name}, block {trial.block}",
            advice="What was measured before is in the run folder",
        )
    if search.ending == "stopped":
        raise GuardrailCrossedError


def _keep(searcher: _Searcher, search: CapacitySearch) -> None:
    """Keep a search; the figures of its variant are those of the trials that held at the lower bound."""
    outcome = merged(searcher.outcomes)
    validity = _validity(searcher, outcome, search)
    at_low = [
        kept.evidence.window
        for kept, step in zip(searcher.outcomes, searcher.steps, strict=False)
        if step.rate == search.low and step.outcome == Outcome.HELD.value
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
