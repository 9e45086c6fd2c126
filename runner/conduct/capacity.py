"""`meshtrial capacity`: for each variant a search for the highest arrival rate that keeps the objective, within a run like any other.

A search is one trial of its variant: the config is applied once, attested at both edges of every step, and restored. What was
measured over all steps is one trial file; each step stands in the document as well.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from runner.analysis.capacity import Goal, Outcome, Search, Trial
from runner.analysis.capacity_analyse import analyse_searches
from runner.analysis.capacity_sum import knee
from runner.analysis.capacity_trial import Hopeless, Judged, judge_trial, planned_in, without_lead
from runner.analysis.capacity_words import search_sentence
from runner.analysis.figures import figures, latency
from runner.analysis.validity import Validity
from runner.conduct.capacity_merge import merged, merged_window
from runner.conduct.record import RunRecord
from runner.conduct.run import GuardrailCrossedError, Method
from runner.conduct.trial import rfc3339
from runner.errors import InputError, MeshError, MeshtrialError, Position, Problem
from runner.results.document import CapacityGoal, CapacitySearch, CapacityStep, GeneratorRecord, Interval, Invalid
from runner.spec.checks import blocks_needed, count_tests
from runner.spec.model import Arrivals
from runner.units import format_rate

if TYPE_CHECKING:
    from runner.analysis.analyse import Analysis
    from runner.analysis.capacity import Proposal
    from runner.conduct.plan import Plan, TrialPlan
    from runner.conduct.progress import Progress
    from runner.conduct.trial import Conductor, TrialOutcome
    from runner.spec.load import LoadedExperiment
    from runner.spec.model import Load

MOST_LOAD = 180.0
"""Seconds of load that one search may make, the warm-up included."""
QUICK = {"seconds": 6.0, "duration_sum": 18.0, "guess": 3.0, "lead": 1.0, "width": 0.10, "coarse": 0.20, "sure": 0.03}
QUICK_LOAD = 60.0
"""A rough search, for a first look: bounds 10 % apart, from at most a minute of load."""
BETWEEN = 1.0
"""Seconds that a step takes beside its load, for the estimate only."""
_KEPT = {Invalid.FAULT_NOT_FIRED, Invalid.CONFIG_LOST, Invalid.PROXY_DIED, Invalid.NO_TRAFFIC}


def prepared(experiment: LoadedExperiment) -> LoadedExperiment:
    """An experiment as a capacity run takes it: with its checks on capacity alone.

    Raises:
        InputError: it states no objective, or a variant's load can't be made at a chosen rate.
    """
    spec = experiment.experiment
    if spec.capacity is None or not experiment.objective:
        raise InputError(
            Problem(
                "the experiment states no objective to search under",
                Position(str(experiment.path), 1, 1),
                "capacity: {objective: ..., from: 20/s, to: 2000/s}",
                'Add, for example, capacity: {objective: "p99 < 250ms and error_rate < 0.1%"}',
            )
        )
    closed = [name for name, variant in spec.variants.items() if variant.load.fortio is not None]
    if closed:
        where = experiment.document.position(("variants", closed[0], "load", "fortio"), key=True)
        raise InputError(
            Problem(
                f"fortio can't make arrivals at a chosen rate, and {closed[0]} is driven by it",
                where,
                "load: {locust: {file: ...}}",
                "Use locust for a capacity search",
            )
        )
    checks = tuple(check for check in experiment.checks if check.metric.name == "capacity")
    warnings = [text for text in experiment.warnings if "blocks can't decide" not in text]
    left = len(experiment.checks) - len(checks)
    if left:
        many = "1 check is" if left == 1 else f"{left} checks are"
        warnings.append(f"{many} not on capacity and left to `meshtrial run`")
    tests, needed = count_tests(checks), blocks_needed(count_tests(checks))
    if tests and spec.blocks < needed:
        searches = "1 search" if spec.blocks == 1 else f"{spec.blocks} searches"
        many = "a comparison" if tests == 1 else f"{tests} comparisons"
        warnings.append(f"{searches} of each variant can't decide {many}: use --blocks {needed} or more")
    if any(variant.load.users is not None for variant in spec.variants.values()):
        warnings.append("load.users is not used: a capacity search makes arrivals at the rates that it tries")
    return replace(experiment, checks=checks, warnings=tuple(warnings))


def goal_of(plan: Plan, load: Load) -> Goal:
    """What a search over a variant's load is to find; the load's warm-up comes out of what the search may use.

    Raises:
        InputError: the warm-up leaves nothing.
    """
    spec = plan.experiment.experiment
    if spec.capacity is None:
        raise TypeError("a capacity run without an objective")
    most = QUICK_LOAD if spec.quick else MOST_LOAD
    if load.warmup > most / 2:
        raise InputError(
            Problem(
                f"a warm-up of {load.warmup:g} s leaves too little of the {most:g} s of load that a search may make"
            )
        )
    goal = Goal(spec.capacity.start, spec.capacity.to, most_load=most - load.warmup)
    return replace(goal, **QUICK) if spec.quick else goal


@dataclass(slots=True)
class CapacityRecord(RunRecord):
    """The run document of searches."""

    def __post_init__(self) -> None:
        RunRecord.__post_init__(self)
        spec = self.plan.experiment.experiment
        goal = goal_of(self.plan, self.plan.variants[0].load)
        self.document.open_loop = True
        self.document.duration_s = goal.seconds
        self.document.capacity = CapacityGoal(
            objective=spec.capacity.objective if spec.capacity else "",
            start=goal.start,
            to=goal.to,
            width=goal.width,
            seconds=goal.seconds,
            duration_sum=goal.duration_sum,
            exceed=goal.exceed,
            most_load_s=goal.most_load + self.plan.variants[0].load.warmup,
        )
        for record, variant in zip(self.document.variants, self.plan.variants, strict=True):
            record.closed_loop = False
            record.load = (
                f"arrivals at the rates that the search tries, {format_rate(goal.start)} to {format_rate(goal.to)}"
            )
            if variant.url is None:
                record.load += f", from {'the gateway' if variant.load.source == 'gateway' else variant.load.source}"

    def add_search(self, trial: TrialPlan, search: CapacitySearch, outcome: TrialOutcome, validity: Validity) -> None:
        """Keep one search.

        Raises:
            StorageError: it can't be written.
        """
        for variant in self.document.variants:
            if variant.name == trial.variant.name:
                variant.capacity_searches.append(search)
        if search.ending in {"spoiled", "wide"}:
            self.document.warnings.append(f"{trial.variant.name}: {search.sentence}")
        self.add(trial, outcome, validity)

    def _analysis(self, error: str | None, aborted: str | None) -> Analysis:
        return analyse_searches(
            [variant.name for variant in self.plan.variants],
            self._evidence,
            self.plan.experiment.checks,
            objective=self.document.capacity.objective if self.document.capacity else "",
            error=error,
            aborted=aborted,
        )


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
        step = replace(self.trial, variant=replace(self.trial.variant, load=at_rate), seed=seed)
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
        outcome.evidence, window=window, capacity=found if search.rate is not None and validity.valid else None
    )
    searcher.record.add_search(searcher.trial, search, outcome, validity)
    if search.rate is None:
        outcome.evidence.absent["capacity"] = search.sentence[:1].lower() + search.sentence[1:].rstrip(".")


CAPACITY = Method("capacity", CapacityRecord, _searches)
"""What `run` is given for a capacity run."""
