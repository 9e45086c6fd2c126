from __future__ import annotations

from runner.conduct.plan import make_plan
from runner.spec.load import load_experiment
from runner.spec.metrics import Metric


def test_the_baseline_twice_in_blocks_like_any_other(repository):
    experiment = load_experiment(repository / "experiments" / "request-timeout.yaml")
    usual, plan = make_plan(experiment, 7), make_plan(experiment, 7, aa=True)
    first, again = plan.variants
    assert (first.name, again.name) == ("slow-ratings", "slow-ratings (A/A)")
    assert first.put == again.put == usual.variants[0].put
    assert (first.load, first.faults) == (again.load, again.faults)
    assert plan.blocks == usual.blocks
    assert all({trial.variant.name for trial in plan.order(block)} == {first.name, again.name} for block in (1, 2, 3))
    orders = {tuple(trial.variant.name for trial in plan.order(block)) for block in range(1, 30)}
    assert len(orders) == 2
    assert all(len({trial.seed for trial in plan.order(block)}) == 1 for block in (1, 2, 3))


def test_checks_are_left_out_but_what_they_compare_is_known(repository):
    experiment = load_experiment(repository / "experiments" / "request-timeout.yaml")
    plan = make_plan(experiment, 7, aa=True)
    assert plan.experiment.checks == ()
    assert plan.experiment.warnings == ()
    assert plan.experiment.guardrails == experiment.guardrails
    compared = {check.metric for check in experiment.checks if check.baseline}
    assert set(plan.itself) == compared
    assert Metric("p50") in compared
    assert make_plan(experiment, 7).itself is None
