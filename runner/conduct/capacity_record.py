"""A capacity run as it is asked for and as it is written: the experiment it takes, the goal of its searches, its run document."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runner.analysis.capacity_analyse import analyse_searches
from runner.analysis.capacity_types import Goal
from runner.conduct.record import RunRecord
from runner.errors import InputError, Position, Problem
from runner.results.document.capacity import CapacityGoal
from runner.results.document.trial import Invalid
from runner.spec.checks import blocks_needed, count_tests
from runner.units import format_rate

if TYPE_CHECKING:
    from runner.analysis.analyse import Analysis
    from runner.analysis.validity_types import Validity
    from runner.conduct.plan import Plan, TrialPlan
    from runner.conduct.trial import TrialOutcome
    from runner.results.document.capacity import CapacitySearch
    from runner.spec.load import LoadedExperiment
    from runner.spec.load_profile import Load

MOST_LOAD = 180.0
"""Seconds of load that one search may make, the warm-up included."""
QUICK = {"seconds": 6.0, "duration_sum": 18.0, "guess": 3.0, "lead": 1.0, "width": 0.10, "coarse": 0.20, "sure": 0.03}
_OF_RUNS_ONLY = ("can't decide", "answers in every trial", "may come from the load alone")
"""Warnings of an experiment that say nothing about a search."""
QUICK_LOAD = 60.0
"""A rough search, for a first look: bounds 10 % apart, from at most a minute of load."""


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
    warnings = [text for text in experiment.warnings if not any(words in text for words in _OF_RUNS_ONLY)]
    left = len(experiment.checks) - len(checks)
    if left:
        many = "1 check is" if left == 1 else f"{left} checks are"
        warnings.append(f"{many} not on capacity and left to `meshtrial run`")
    tests, needed = count_tests(checks), blocks_needed(count_tests(checks))
    if tests and spec.blocks < needed:
        searches = "1 search" if spec.blocks == 1 else f"{spec.blocks} searches"
        many = "a comparison" if tests == 1 else f"{tests} comparisons"
        warnings.append(f"{searches} of each variant can't decide {many}: use --blocks {needed} or more")
    if any(variant.phases for variant in spec.variants.values()):
        warnings.append("phases are not used: a capacity search switches nothing on while it runs")
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

    @property
    def counts_whole_windows(self) -> bool:
        """Not so: a step's lead is cut from its window, and proxies counted it."""
        return False

    def add_search(self, trial: TrialPlan, search: CapacitySearch, outcome: TrialOutcome, validity: Validity) -> None:
        """Keep one search.

        Raises:
            StorageError: it can't be written.
        """
        for variant in self.document.variants:
            if variant.name == trial.variant.name:
                variant.capacity_searches.append(search)
        if search.ending in {"spoiled", "wide"} or any(
            Invalid.PROXY_DIED in step.invalid_because for step in search.steps
        ):
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
