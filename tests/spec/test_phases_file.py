"""Phases in an experiment file: what they are read as, what `@phase` means in checks, and what is refused at its place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import InputError, Position
from runner.spec.checks import count_tests, parse_check, parse_guardrail, parse_objective
from runner.spec.metrics import PHASES, Dimension, Metric
from runner.spec.overrides import Overrides
from runner.spec.schema import experiment_schema

PLACE = Position("f.yaml", 7, 20)
ARRIVALS = "load: {locust: {file: ../loadfiles/bookinfo.py}, arrivals: {rate: 40/s}}\n"
SHORT = "phases: {apply: [istio/delay.yaml], before: 5s, during: 6s, after: 9s, objective: 'p95 < 500ms'}\n"


def parse(text, baseline=None):
    return parse_check(text, "a", baseline, PLACE, promql=("q",))


def refused(text, parser=parse):
    with pytest.raises(InputError) as caught:
        parser(text)
    (problem,) = caught.value.problems
    return problem.where.column - PLACE.column, str(problem)


# The language


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("p95@during < 2s", Metric("p95", phase="during")),
        ("error_rate@after < 1%", Metric("error_rate", phase="after")),
        ("requests@before == 400", Metric("requests", phase="before")),
        ("status[503]@during > 0", Metric("status", "503", phase="during")),
        ("outcome[reviews unavailable]@during > 95%", Metric("outcome", "reviews unavailable", phase="during")),
        ("proxy[reviews-v2 fault.delays_injected]@after == 0", Metric("proxy", "reviews-v2 fault.delays_injected", phase="after")),
        ("p50{/cart/{id}}@during < 2s", Metric("p50", None, "/cart/{id}", "during")),
        ("outcome[a@b]@after == 0", Metric("outcome", "a@b", phase="after")),
        ("outcome[x]{GET /}@before > 0", Metric("outcome", "x", "GET /", "before")),
        ("time_to_detect <= 2s", Metric("time_to_detect")),
        ("time_to_recover > 500ms", Metric("time_to_recover")),
    ],
)  # fmt: skip
def test_what_a_phase_in_a_check_means(text, metric) -> None:
    check = parse(text)
    assert check.metric == metric
    assert str(check.metric) == text.split(" <")[0].split(" >")[0].split(" ==")[0]


@given(
    st.sampled_from(["p95", "error_rate", "requests", "status[503]", "outcome[a b]", "p50{GET /x}", "rate"]),
    st.sampled_from(PHASES),
)
def test_a_metric_is_read_as_it_is_written(name, phase) -> None:
    value = {Dimension.LATENCY: "2s", Dimension.SHARE: "1%", Dimension.COUNT: "0", Dimension.RATE: "3/s"}
    plain = parse(f"{name} < {value[parse_dimension(name)]}").metric
    phased = parse(f"{name}@{phase} < {value[parse_dimension(name)]}").metric
    assert (phased.name, phased.argument, phased.request) == (plain.name, plain.argument, plain.request)
    assert (str(phased), phased.phase) == (f"{plain}@{phase}", phase)


def parse_dimension(name):
    return Metric(name.split("[")[0].split("{")[0]).dimension


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("p95@durring < 2s", 3, '"durring" is no phase; expected one of @before, @during, @after. Did you mean "during"?'),
        ("p95@fault < 2s", 3, 'Did you mean "during"?'),
        ("p95@ < 2s", 3, "a phase is missing"),
        ("status[503]@mid > 0", 11, '"mid" is no phase'),
        ("p95@during{GET /x} < 2s", 3, "the phase stands last"),
        ("promql[q]@during > 0", 9, "promql is a query over the whole window, so it takes no phase"),
        ("capacity@during > 3/s", 8, "capacity is found by a search"),
        ("time_to_recover@after < 2s", 15, "time_to_recover says itself when it is measured"),
        ("time_to_recover < 5", 18, '5 needs a unit; expected a duration such as 5s. Write "5ms" or "5s"'),
        ("time_to_recover{/x} < 5s", 15, "time_to_recover is not counted by request name"),
        ("mttr < 5s", 0, 'Did you mean "time_to_recover"?'),
        ("p95 < time_to_detect", 6, "p95 is a latency and time_to_detect a duration"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_phase_is_told_at_its_column(text, column, words) -> None:
    at, message = refused(text)
    assert at == column
    assert words in message


def test_guardrails_and_objectives_name_no_phase() -> None:
    assert (
        "names a phase, and a guardrail watches the whole load"
        in refused("p95@during > 2s", lambda text: parse_guardrail(text, PLACE))[1]
    )
    assert "is known after the window" in refused("time_to_detect > 2s", lambda text: parse_guardrail(text, PLACE))[1]
    for seconds in (False, True):
        read = lambda text, seconds=seconds: parse_objective(text, PLACE, seconds=seconds)  # noqa: E731
        assert "an objective is the same in all of them" in refused("error_rate < 1% and p95@after < 2s", read)[1]
    assert (
        "is not read every second"
        in refused("proxy[a b] < 1", lambda text: parse_objective(text, PLACE, seconds=True))[1]
    )


def test_phases_of_one_metric_are_comparisons_of_their_own() -> None:
    checks = [parse(text, "b") for text in ("p50 <= +5%", "p50@during <= +5%", "p50@during >= -9%", "p50@after <= +5%")]
    assert count_tests(checks) == 3


# The file


def test_phases_belong_to_every_variant_and_a_variants_own_replace_them(project) -> None:
    loaded = project.load(
        "variants:\n"
        "  plain: {}\n"
        "  own:\n"
        "    apply: [istio/timeout.yaml]\n"
        "    phases: {apply: [istio/delay.yaml, istio/setup.yaml], before: 20s}\n" + SHORT,
        head=ARRIVALS,
    )
    plain, own = loaded.experiment.variants.values()
    assert (plain.phases.before, plain.phases.during, plain.phases.after, plain.load.duration) == (5, 6, 9, 20)
    assert [path.name for path in plain.phases.apply] == ["delay.yaml"]
    assert (own.phases.before, own.phases.during, own.phases.after, own.load.duration) == (20, 10, 10, 40)
    assert [path.name for path in own.phases.apply] == ["delay.yaml", "setup.yaml"]
    assert (own.phases.objective, list(loaded.phase_objectives)) == (None, ["plain"])
    assert [condition.text for condition in loaded.phase_objectives["plain"]] == ["p95 < 500ms"]


def test_phases_take_variables_and_inline_resources(project) -> None:
    loaded = project.load(
        "matrix: {delay: [1s, 2s]}\n"
        "variants: {slow: {}}\n"
        "phases:\n"
        "  during: '{{ outage }}'\n"
        "  apply:\n"
        "    - kind: VirtualService\n"
        "      metadata: {name: ratings}\n"
        "      spec: {http: [{fault: {delay: {fixedDelay: '{{ delay }}'}}}]}\n"
        "vars: {outage: 15s}\n",
        head=ARRIVALS,
    )
    variants = loaded.experiment.variants
    assert list(variants) == ["slow[delay=1s]", "slow[delay=2s]"]
    assert {variant.phases.during for variant in variants.values()} == {15}
    inline = loaded.inline("slow[delay=2s]", 0, phases=True)
    assert inline.data["spec"]["http"][0]["fault"]["delay"]["fixedDelay"] == "2s"
    assert str(inline.position(("metadata", "name"))).endswith("trial.yaml:7:24")


@pytest.mark.parametrize(
    ("options", "lengths", "seconds"),
    [
        (Overrides(), (5, 6, 9), 20),
        (Overrides(quick=True), (4, 4, 4), 12),
        (Overrides(duration="40s"), (10, 12, 18), 40),
        (Overrides(duration="40s", quick=True), (10, 12, 18), 40),
    ],
)
def test_options_stretch_the_phases(project, options, lengths, seconds) -> None:
    found = project.load("variants: {a: {}}\n" + SHORT, head=ARRIVALS, overrides=options).experiment.variants["a"]
    assert (found.phases.before, found.phases.during, found.phases.after) == pytest.approx(lengths)
    assert found.load.duration == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "head", "words"),
    [
        ("phases: {before: 5s}\n", ARRIVALS, '2:9: "apply" is missing'),
        ("phases: {apply: [istio/delay.yaml], durring: 5s}\n", ARRIVALS, 'Did you mean "during"?'),
        ("phases: {apply: []}\n", ARRIVALS, "2:17: phases.apply: is empty"),
        ("phases: {apply: [istio/gone.yaml]}\n", ARRIVALS, "istio/gone.yaml: no such file; expected a manifest"),
        ("phases: {apply: [istio/delay.yaml], during: 2s}\n", ARRIVALS, "2:45: a phase of 2 s is too short"),
        ("phases: {apply: [istio/delay.yaml], during: 5}\n", ARRIVALS, "5 needs a unit"),
        ("phases: {apply: [istio/delay.yaml], objective: 'p95 < 5'}\n", ARRIVALS, "5 needs a unit"),
        ("phases: {apply: [istio/delay.yaml], objective: 'proxy[a b] < 5'}\n", ARRIVALS, '2:49: "proxy[a b] < 5": proxy is not read'),
        ("phases: {apply: [istio/delay.yaml]}\n", "load: {locust: {file: ../loadfiles/bookinfo.py}, duration: 20s}\n",
         "3:50: duration is 20 s, and the phases take 30 s; expected no duration beside phases"),
        ("phases: {apply: [istio/delay.yaml]}\n",
         "load: {locust: {file: ../loadfiles/bookinfo.py}, arrivals: {stages: [{rate: 5/s, duration: 30s}]}}\n",
         "the rate must not change between them"),
        ("phases: {apply: [istio/delay.yaml]}\n", "load: {fortio: {requests: 100}}\n", "an exact number of requests takes"),
        ("phases: {apply: [istio/delay.yaml]}\n", "load: {fortio: {access_log: false}}\n", "without its access log"),
        ("mesh: {none: {url: 'http://x/'}}\nphases: {apply: [istio/delay.yaml]}\n", ARRIVALS, "applies nothing; expected no phases"),
        ("checks: {a: ['p95@during < 2s']}\n", ARRIVALS, '2:15: "p95@during < 2s": a has no phases; expected phases: {apply:'),
        ("checks: {a: ['time_to_detect < 2s']}\nphases: {apply: [istio/delay.yaml]}\n", ARRIVALS, "the phases of a have no objective"),
        ("phases: 5\n", ARRIVALS, "2:9: "),
    ],
)  # fmt: skip
def test_what_does_not_go_with_phases_is_refused_at_its_place(project, text, head, words) -> None:
    (problem,) = project.problems("variants: {a: {}}\n" + text, head=head)
    assert words in problem


def test_a_duration_that_is_the_phases_own_is_no_contradiction(project) -> None:
    head = "load: {locust: {file: ../loadfiles/bookinfo.py}, duration: 20s}\n"
    assert project.load("variants: {a: {}}\n" + SHORT, head=head).experiment.variants["a"].load.duration == 20


def test_a_comparison_needs_phases_on_both_sides(project) -> None:
    text = "variants: {a: {}, b: {phases: {apply: [istio/delay.yaml]}}}\nchecks: {b vs a: ['p95@during <= +5%']}\n"
    (problem,) = project.problems(text, head=ARRIVALS)
    assert '"p95@during <= +5%": a has no phases' in problem


def test_a_duration_option_that_leaves_too_little_says_so(project) -> None:
    found = project.problems("variants: {a: {}}\n" + SHORT, head=ARRIVALS, overrides=Overrides(duration="10s"))
    assert found
    assert all("--duration 10s: a phase of" in problem and "is too short" in problem for problem in found)


def test_short_phases_are_warned_of_but_not_under_quick(project) -> None:
    text = "variants: {a: {}}\nchecks: {a: ['p95@during < 2s']}\n" + SHORT
    (warning,) = project.load(text, head=ARRIVALS).warnings
    assert warning.endswith(
        "before and during and after are shorter than 10 s: drift can't be judged, and quantiles rest on few requests"
    )
    assert project.load(overrides=Overrides(quick=True)).warnings == ()


def test_the_schema_knows_phases() -> None:
    schema = experiment_schema()
    assert json.dumps(schema["properties"]["phases"]).count("#/$defs/Phases") == 1
    assert set(schema["$defs"]["Phases"]["properties"]) == {"apply", "before", "during", "after", "objective"}
    assert "phases" in schema["$defs"]["VariantFile"]["properties"]
