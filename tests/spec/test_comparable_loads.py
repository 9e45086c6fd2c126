"""What is refused or warned of because the loads of compared variants do not fit what is asked of them."""

from __future__ import annotations

import resource

import pytest

from runner.spec.bounds import SPARE_FILES, files_for_connections
from runner.spec.load import Overrides

OPEN_AND_CLOSED = """\
variants: {a: , b: {load: {users: 3}}}
checks: {b vs a: ["%s"]}
"""


@pytest.mark.parametrize("check", ["p50 <= +10%", "p99 within 20ms", "mean <= mean", "p95{/page} >= -5%"])
@pytest.mark.parametrize("closed", ["users: 3", "fortio: {qps: 0}"])
def test_a_latency_of_an_open_loop_is_not_held_against_one_of_a_closed_loop(project, check, closed) -> None:
    text = OPEN_AND_CLOSED.replace("users: 3", closed) % check
    if "fortio" in closed:
        text = text.replace("{load: {fortio", "{load: {locust: , fortio")
    (problem,) = project.problems(text.replace("locust: , ", ""))
    assert problem.startswith(f'2:20: "{check}": a is an open loop (arrivals: ')
    assert ", b a closed one (latency counts from its sending, and a slow service is asked less)" in problem
    assert "expected the same kind of loop for both. Give both variants arrivals, or both users" in problem


def test_what_does_not_depend_on_the_loop_may_be_compared(project) -> None:
    for check in ("error_rate <= +1%", "status[503] <= +1%", "requests >= requests"):
        assert project.load(OPEN_AND_CLOSED % check).checks
    both = "variants: {a: {load: {users: 2}}, b: {load: {users: 3}}}\nchecks: {b vs a: [p50 <= +10%]}\n"
    assert project.load(both).checks


RATES = """\
variants:
  a:
  b: {apply: [istio/delay.yaml], load: {arrivals: {rate: 40/s}}}
%s"""


def test_other_amounts_are_worth_a_warning(project) -> None:
    said = "b gets 40/s and a 20/s: what differs between them may come from the load alone"
    for checks in ("", "checks: {b vs a: [p50 <= +10%]}\n", "checks: {b vs a: [error_rate <= +1%]}\n"):
        warnings = [warning for warning in project.load(RATES % checks).warnings if "may come from" in warning]
        assert len(warnings) == 1
        assert warnings[0].endswith(f":3:51: {said}")


def test_variants_that_differ_by_their_load_alone_ask_for_it(project) -> None:
    only_load = (RATES % "checks: {b: [p50 < 1s]}\n").replace("apply: [istio/delay.yaml], ", "")
    assert project.load(only_load).warnings == ()
    assert project.load((RATES % "checks: {b: [p50 < 1s]}\n").replace("40/s", "20/s")).warnings == ()
    asked = only_load.replace("b: [p50 < 1s]", "b vs a: [rate >= +50%]")
    assert project.load(asked).warnings == ()


def test_stages_that_differ_are_named(project) -> None:
    stages = "stages: [{rate: 10/s, duration: 1s}, {rate: 90/s, duration: 29s}]"
    text = (RATES % "").replace("rate: 40/s", stages)
    assert any("b gets stages of 10/s, 90/s and a 20/s" in warning for warning in project.load(text).warnings)


QUANTILES = """\
variants: {a: , b: }
blocks: 9
checks: {b vs a: [%s]}
"""


def test_a_quantile_that_the_load_is_too_short_for_is_worth_a_warning(project) -> None:
    # 20/s for 30 s
    (warning,) = project.load(QUANTILES % "p50 <= +10%, p95 <= +10%").warnings
    assert warning.endswith(
        ":3:32: comparing p95 takes 1000 answers in every trial, and this load gives about 600 in 30 s, "
        "so it will be inconclusive: it takes 50 s at this rate, or 34/s"
    )
    assert project.load(QUANTILES % "p95 <= +10%", overrides=Overrides(duration="50s")).warnings == ()


def test_each_quantile_is_warned_of_once(project) -> None:
    text = QUANTILES % "p99 <= +10%, p99 >= -10%, 'p99{/page} <= +10%', p99.9 <= +10%, p95 < p95"
    for overrides in (Overrides(), Overrides(quick=True)):
        warnings = project.load(text, overrides=overrides).warnings
        assert ["p99 " in one for one in warnings if "comparing" in one] == [True, False, False]
    assert any(
        "p99.9 takes 50000 answers" in one and "it takes 41 min 40 s" in one for one in project.load(text).warnings
    )


def test_the_answers_of_stages_are_their_area_and_of_phases_what_a_phase_has(project) -> None:
    ramp = "variants: {a: {load: %s}, b: {load: %s}}\nchecks: {b vs a: [p95 <= +10%%]}\n"
    stages = "{arrivals: {stages: [{rate: 100/s, duration: 10s}, {rate: 100/s, duration: %s}]}}"
    for last, enough in (("5s", True), ("4s", False)):
        load = stages % last
        warnings = project.load(ramp % (load, load)).warnings
        assert any("this load gives about" in one for one in warnings) is not enough
    phases = "phases: {apply: [istio/delay.yaml], before: 10s, during: 10s, after: 10s}\n"
    text = phases + "variants: {a: , b: }\nchecks: {b vs a: [p50@during <= +10%, p75@during <= +10%]}\n"
    (warning,) = [one for one in project.load(text).warnings if "comparing" in one]
    assert "comparing p75 takes 200 answers in every trial, and this load gives about 180 in 9 s" in warning


def test_nobody_knows_how_many_answers_users_get(project) -> None:
    users = "variants: {a: {load: {users: 2}}, b: {load: {users: 2}}}\nchecks: {b vs a: [p99 <= +10%]}\n"
    assert project.load(users).warnings == ()
    head = "load: {fortio: {qps: 10}}\n"
    assert "about 300 in 30 s" in project.load(QUANTILES % "p99 <= +10%", head=head).warnings[0]
    assert project.load(QUANTILES % "p99 <= +10%", head="load: {fortio: {qps: 0}}\n").warnings == ()
    exact = "load: {fortio: {requests: 500, qps: 0}}\n"
    assert "about 500, so it" in project.load(QUANTILES % "p99 <= +10%", head=exact).warnings[0]


@pytest.fixture
def few_files(monkeypatch) -> int:
    """A machine on which a process may open 200 files."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 200))
    return 200 - SPARE_FILES


@pytest.mark.parametrize(
    ("load", "place", "what"),
    [
        ("{locust: {file: f.py}, users: %d}", "1:37", "users"),
        ("{locust: {file: f.py}, arrivals: {rate: 1/s, max_in_flight: %d}}", "1:67", "tasks under way at once"),
        ("{fortio: {qps: 0, connections: %d}}", "1:38", "connections of fortio"),
    ],
)
def test_more_connections_than_files_are_refused(project, few_files, load, place, what) -> None:
    project.put("experiments/f.py", "")
    assert files_for_connections() == few_files
    (problem,) = project.problems(f"load: {load % 137}\nvariants: {{a: , b: }}\n", head="")
    assert problem.startswith(
        f"{place}: 137 {what} hold a connection each, and only 200 files may be open in a process of this machine; "
        "expected at most 136. Raise the limit with `ulimit -n`"
    )
    assert ("load.locust.processes: 2" in problem) is ("locust" in load)
    assert project.load(f"load: {load % 136}\nvariants: {{a: , b: }}\n", head="").experiment.blocks == 6


def test_processes_share_the_files_and_other_machines_have_their_own(project, few_files) -> None:
    project.put("experiments/f.py", "")
    text = "load: {locust: {file: f.py, %s}, users: %d}\nvariants: {a: }\n"
    for shared in ("processes: 2", "workers: 2"):
        assert project.load(text % (shared, 272), head="").experiment
        (problem,) = project.problems(text % (shared, 273), head="")
        assert "and 2 share the load; expected at most 272." in problem
    assert project.load(text % ("workers: external", 5000), head="").experiment
    # nobody asked for as many as may be under way by default
    assert project.load("load: {locust: {file: f.py}}\nvariants: {a: }\n", head="").experiment


def test_without_a_limit_there_is_none(monkeypatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, resource.RLIM_INFINITY))
    assert files_for_connections() is None
