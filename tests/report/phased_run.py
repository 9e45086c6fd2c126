"""A made-up run with phases: both variants of `sample_run`, fast but for eleven seconds in the middle.

`python -c "import phased_run; phased_run.write('/tmp/run.html')"` in this folder writes its report.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import sample_run

from runner.analysis.analyse import analyse
from runner.analysis.evidence import TrialEvidence
from runner.analysis.phase_words import phases_headline
from runner.conduct.phase_record import measured_phases, trial_phases
from runner.results.document.manifest import ManifestRecord
from runner.results.document.phases import PhasesRecord, Switch, Switches
from runner.spec.checks import parse_check, parse_objective

OBJECTIVE = "p95 < 500ms and error_rate < 1%"
FAST = replace(sample_run.SLOW, name="fast", median=35, tail=0.3)
PLANNED = PhasesRecord(
    before_s=10,
    during_s=10,
    after_s=10,
    objective=OBJECTIVE,
    manifests=[
        ManifestRecord(
            name="istio/ratings-delay-2s.yaml",
            file="manifests/ratings-delay-2s.yaml",
            resources=["VirtualService default/ratings"],
        )
    ],
)


def switches(dice: random.Random) -> Switches:
    def at(moment: float) -> Switch:
        requested = moment + dice.uniform(0.05, 0.1)
        confirmed = requested + dice.uniform(0.05, 0.3)
        return Switch(begun=moment, requested=requested, confirmed=confirmed, ended=confirmed + 0.07)

    return Switches(on=at(10.0), off=at(20.0))


def make(*, recovers: bool = True) -> sample_run.Run:
    """The run; without `recovers` its first variant never does."""
    arms = [sample_run.SLOW, sample_run.TIMEOUT]
    run = sample_run.make(arms, seconds=30, rate=20, invalid=False)
    dice = random.Random(5)  # noqa: S311 - made-up data
    evidence = []
    records = {(t.variant, t.block): t for variant in run.document.variants for t in variant.trials}
    objective = parse_objective(OBJECTIVE, None, seconds=True)
    for file in run.trials:
        fast = sample_run.window(FAST, 30, 20, dice, file.window.started).seconds
        until = 99 if file.variant == arms[0].name and not recovers else 21
        file.window.seconds = [
            slow if 10 <= slow.offset < until else quick for slow, quick in zip(file.window.seconds, fast, strict=True)
        ]
        file.switches = switches(dice)
        known = TrialEvidence(file.block, 1, file.variant, file.window, switches=file.switches, objective=objective)
        records[file.variant, file.block].phases = trial_phases(known, {})
        evidence.append(known)
    checks = [
        parse_check("p95@after < 500ms", arms[0].name, None, None),
        parse_check("time_to_recover < 3s", arms[0].name, None, None),
        parse_check("p50@during <= -30%", arms[1].name, arms[0].name, None),
    ]
    analysis = analyse([arm.name for arm in arms], evidence, checks)
    for variant, found in zip(run.document.variants, analysis.variants, strict=True):
        variant.phases = measured_phases(PLANNED, found.phases)
        variant.manifests = [one for one in variant.manifests if "delay" not in one.name]
    run.document.checks, run.document.comparisons = analysis.checks, analysis.comparisons
    run.document.verdict, run.document.reason = analysis.verdict, analysis.reason
    run.document.headline = phases_headline(run.document.variants) or ""
    return run


def write(path: str) -> None:
    Path(path).write_text(make().html())
