"""A matrix variable's values as curves and as a table."""

from __future__ import annotations

import itertools

import page_reader
import pytest
import sample_run
from hypothesis import given
from hypothesis import strategies as st

from runner.report.html import render
from runner.report.sweep import sweeps
from runner.report.sweep_axis import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, AmountAxis, ValueAxis, numbers
from runner.results.document.figures import Interval

VALUES = ["2s", "0.2s", "500ms", "1s"]


def swept(values=VALUES, families=("timeout-{{ timeout }}",), *, baseline=True, variable="timeout", extra=None):
    """A run whose variants one variable made: slower with the value, fewer pages unavailable."""
    arms = [sample_run.Arm("no-timeout", 900, outcomes={"black stars": 1.0})] if baseline else []
    made = []
    for family in families:
        for place, value in enumerate(values):
            name = f"{family}[{variable}={value}]"
            shown = {"reviews unavailable": 1 - 0.3 * place, "black stars": 0.3 * place}
            made.append((name, family, value))
            arms.append(sample_run.Arm(name, 100 + 50 * place, outcomes=shown))
    run = sample_run.make(arms, blocks=2, seconds=2, rate=20, invalid=False)
    by_name = {variant.name: variant for variant in run.document.variants}
    for name, family, value in made:
        by_name[name].family = family
        by_name[name].matrix = {variable: value, **(extra or {})}
    return run


def test_the_points_stand_in_order_and_to_scale_with_their_intervals() -> None:
    run = swept()
    (sweep,) = sweeps(run.document)
    assert (sweep.variable, sweep.reference) == ("timeout", "no-timeout")
    titles = [panel.title for panel in sweep.panels]
    assert titles == ["p50", "p95", "Error rate", "black stars", "reviews unavailable"]
    assert [tick.text for tick in sweep.panels[0].values] == ["0.2s", "500ms", "1s", "2s"]
    (line,) = sweep.panels[0].lines
    xs = [point.x for point in line.points]
    assert xs == sorted(xs)
    assert (xs[1] - xs[0]) / (xs[3] - xs[0]) == pytest.approx((0.5 - 0.2) / (2 - 0.2), abs=0.01)
    variants = {variant.matrix.get("timeout"): variant for variant in run.document.variants}
    for point, value in zip(line.points, ["0.2s", "500ms", "1s", "2s"], strict=True):
        interval = variants[value].intervals["p50"]
        assert point.low is not None
        assert point.high is not None
        assert point.high <= point.y <= point.low
        assert point.said.startswith(f"timeout {value}: ")
        assert interval.estimate is not None
    order = sorted(variants.values(), key=lambda variant: variant.latency_ms.p50 or 0)
    by_height = sorted(line.points, key=lambda point: -point.y)
    assert [point.said.split(": ")[0] for point in by_height] == [
        f"timeout {variant.matrix['timeout']}" for variant in order if variant.matrix
    ]


def test_the_table_has_the_same_in_numbers_the_baseline_first() -> None:
    run = swept()
    page = page_reader.read(render(run.document, run.trials, run.manifests))
    rows = page.one("section", id="sweep").rows()
    heads = [head.split()[0] for head in rows]
    assert heads == ["no-timeout", "0.2s", "500ms", "1s", "2s"]
    two = next(variant for variant in run.document.variants if variant.matrix.get("timeout") == "2s")
    cells = next(cells for head, cells in rows.items() if head.startswith("2s"))
    assert cells[0] == str(two.requests)
    assert cells[4].startswith("0 %")
    assert cells[5].startswith("100 %")
    section = page.one("section", id="sweep")
    assert len(section.find("svg")) == 5
    assert all(svg.attributes["aria-label"] for svg in section.find("svg"))
    assert len(section.find("circle")) == 20
    assert page.find("a", href="#sweep")[0].text == "By timeout"


def test_families_and_other_matrix_values_are_curves_of_their_own() -> None:
    run = swept(families=("with-retry", "without-retry"))
    (sweep,) = sweeps(run.document)
    assert [curve.title for curve in sweep.curves] == ["with-retry", "without-retry"]
    assert len({line.series for line in sweep.panels[0].lines}) == 2
    assert [group.title for group in sweep.table.groups] == ["", "with-retry", "without-retry"]
    for place, variant in enumerate(run.document.variants[1:]):
        variant.family = "delayed"
        variant.matrix = {"percent": "50%" if place % 2 else "100%", "timeout": VALUES[place // 2]}
    (sweep,) = sweeps(run.document)
    assert sweep.variable == "timeout"
    assert [curve.title for curve in sweep.curves] == ["delayed, percent=100%", "delayed, percent=50%"]


def test_what_was_not_measured_breaks_the_curve_and_takes_nothing_else_away() -> None:
    run = swept()
    third = next(variant for variant in run.document.variants if variant.matrix.get("timeout") == "500ms")
    third.latency_ms = third.latency_ms.model_copy(update={"p50": None, "p95": None})
    third.requests, third.intervals, third.outcomes = 0, {}, {}
    (sweep,) = sweeps(run.document)
    (line,) = sweep.panels[1].lines
    assert len(line.points) == 3
    assert [len(stretch.split()) for stretch in line.stretches] == [2]
    assert len(sweep.panels[2].lines[0].points) == 3
    render(run.document, run.trials, run.manifests)


def test_open_ended_intervals_and_a_baseline_within_the_sweep() -> None:
    run = swept(baseline=False)
    for variant in run.document.variants:
        variant.intervals["p95"] = Interval(estimate=120.0, low=None, high=None)
    (sweep,) = sweeps(run.document)
    assert sweep.reference == ""
    assert all(panel.reference is None for panel in sweep.panels)
    assert all(point.low is point.high is None for point in sweep.panels[1].lines[0].points)


@pytest.mark.parametrize("values", [["1s"], []])
def test_without_two_values_there_is_no_sweep(values) -> None:
    run = swept(values)
    assert sweeps(run.document) == []
    page = page_reader.read(render(run.document, run.trials, run.manifests))
    assert not page.find("section", id="sweep")
    assert not page.find("a", href="#sweep")


def test_a_closed_loop_says_so() -> None:
    run = swept()
    for variant in run.document.variants:
        variant.closed_loop = True
    page = page_reader.read(render(run.document, run.trials, run.manifests))
    assert "Closed loop: latencies are service times" in page.one("section", id="sweep").text


def test_hostile_values_and_families_stay_text() -> None:
    hostile = '"/><script>alert(1)</script>'
    run = swept([hostile, hostile + "2"], families=(hostile, "b"), variable=hostile)
    html = render(run.document, run.trials, run.manifests)
    assert "<script>alert(1)" not in html
    assert page_reader.read(html).one("section", id="sweep")


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["0.5s", "200ms", "1m"], [0.5, 0.2, 60]),
        (["20/s", "600/m", "40/s"], None),
        (["20/s", "1200/h"], [20, 1 / 3]),
        (["5%", "150 %"], [5, 150]),
        (["1", "2.5", "-3"], [1, 2.5, -3]),
        (["1s", "2"], None),
        (["on", "off"], None),
        (["nan", "1"], None),
        (["1s", "1000ms"], None),
    ],
)
def test_values_are_read_as_numbers_of_one_kind(values, found) -> None:
    expected = [20.0, 10.0, 40.0] if values[:2] == ["20/s", "600/m"] else found
    assert numbers(values) == (pytest.approx(expected) if expected else None)


def test_names_stand_evenly_in_the_order_written_and_wide_ranges_on_a_log_axis() -> None:
    axis = ValueAxis(["round-robin", "random", "least"])
    xs = [axis.x(value) for value in ("round-robin", "random", "least")]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)
    wide = ValueAxis(["10/s", "100/s", "1000/s"])
    assert wide.x("100/s") - wide.x("10/s") == pytest.approx(wide.x("1000/s") - wide.x("100/s"), abs=0.2)


@given(st.lists(st.floats(0.001, 1e6), min_size=2, max_size=12, unique=True))
def test_every_value_is_inside_and_labels_do_not_touch(amounts) -> None:
    values = [f"{amount!r}s" for amount in amounts]
    axis = ValueAxis(values)
    assert all(LEFT <= axis.x(value) <= WIDTH - RIGHT for value in values)
    ticks = axis.ticks()
    assert ticks
    for one, two in itertools.pairwise(ticks):
        assert two.at - one.at >= (len(one.text) + len(two.text)) * 3


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_amounts_stand_between_zero_and_the_top(greatest, value) -> None:
    axis = AmountAxis(greatest)
    assert axis.top >= greatest * 0.999
    assert TOP <= axis.y(value) <= HEIGHT - BOTTOM
    assert axis.y(0) == HEIGHT - BOTTOM
    ticks = axis.ticks(str)
    assert 2 <= len(ticks) <= 6
    assert ticks[0].at == HEIGHT - BOTTOM


def test_a_share_never_goes_beyond_all() -> None:
    axis = AmountAxis(1.0, most=1.0)
    assert axis.top == 1.0
    assert [tick.text for tick in axis.ticks(lambda value: f"{value:g}")] == ["0", "0.25", "0.5", "0.75", "1"]
