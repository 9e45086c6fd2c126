from __future__ import annotations

import json

import sample_run
from hypothesis import given
from hypothesis import strategies as st

from runner.report.chart_data import charts, grid, quantiles, script_json
from runner.report.limits import Limits
from runner.results.histogram import Histogram
from runner.results.window import Window


def data_of(run, **limits):
    made = charts(run.document, run.trials, Limits(**limits))
    return made, json.loads(made.data)


@given(
    st.lists(st.integers(min_value=0, max_value=10_000_000), min_size=1, max_size=300),
    st.lists(st.floats(min_value=0.01, max_value=0.9999), min_size=1, max_size=20),
)
def test_many_quantiles_at_once_are_those_of_the_histogram(durations, shares):
    histogram = Histogram()
    for duration in durations:
        histogram.record(duration)
    for share, found in zip(sorted(shares), quantiles(histogram, sorted(shares)), strict=True):
        if found is None:
            assert histogram.count * (1 - share) < 1
        else:
            assert abs(found * 1000 - (histogram.quantile(share) or 0)) <= max(1, 0.009 * found * 1000)


@given(st.integers(min_value=20, max_value=60), st.integers(min_value=0, max_value=10_000_000))
def test_the_grid_is_ascending_inside_the_unit_interval_and_has_the_named_quantiles(points, requests):
    shares = grid(points, requests)
    assert shares == sorted(set(shares))
    assert 0 < shares[0] < shares[-1] < 1
    assert 0.5 in shares
    if requests >= 1000:
        assert {0.9, 0.95, 0.99} <= set(shares)


def test_every_trial_is_in_the_series_and_only_valid_ones_in_the_curves(run):
    made, data = data_of(run)
    assert len(data["trials"]) == 14
    assert made.drawn == len(data["curves"]["blocks"]) == 12
    assert made.left_out == 2
    assert [trial["b"] for trial in data["trials"]] == [1, 1, 2, 2, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    why = {(trial["b"], trial["a"], trial["v"]): trial["why"] for trial in data["trials"] if trial["why"]}
    assert why == {(2, 1, 0): "ran again", (2, 1, 1): "ran again: a proxy did not hold the config throughout"}


def test_the_numbers_are_those_of_the_windows(run):
    _, data = data_of(run)
    trial, file = data["trials"][0], min(run.trials, key=lambda one: one.window.started)
    assert trial["rate"] == [10] * 10
    second = Histogram.merged(
        cell.response for by_status in file.window.seconds[3].cells.values() for cell in by_status.values()
    )
    assert abs(trial["p50"][3] * 1000 - second.quantile(0.5)) <= 0.001 * second.quantile(0.5)
    whole = run.document.variants[0].latency_ms.p50
    shares = data["curves"]["shares"]
    assert abs(data["curves"]["whole"][0][shares.index(0.5)] - whole) < 0.001 * whole


def test_long_runs_are_thinned_and_say_so(run):
    made, data = data_of(run, steps=28)
    assert made.step == data["step"] == 5
    assert all(len(trial["rate"]) == 2 for trial in data["trials"])
    assert data["trials"][0]["rate"] == [10, 10]


def test_a_last_second_that_was_cut_short_keeps_its_rate():
    run = sample_run.make(blocks=1, seconds=3, rate=10, invalid=False)
    for file in run.trials:
        file.window.length = 2.5
    _, data = data_of(run)
    assert data["trials"][0]["rate"] == [10, 10, 20]


def test_a_run_without_trial_files_has_no_charts(run):
    assert charts(run.document, [], Limits()) is None
    run = sample_run.make(blocks=1, seconds=1, rate=1, invalid=False)
    for file in run.trials:
        file.window = Window([], 0, open_loop=True, scheduled=0, started=0, ended=0, generator_cpu=0)
    assert charts(run.document, run.trials, Limits()) is None


def test_a_second_without_answers_is_a_gap():
    run = sample_run.make(blocks=1, seconds=2, rate=5, invalid=False)
    run.trials[0].window.seconds[1].cells.clear()
    _, data = data_of(run)
    trial = data["trials"][0]
    assert (trial["rate"][1], trial["p50"][1], trial["p95"][1]) == (0, None, None)


@given(st.text())
def test_script_json_never_ends_its_tag_and_reads_back(text):
    made = script_json({"name": text + "</script><!--\u2028"})
    assert not set("<>&\u2028\u2029") & set(made)
    assert json.loads(made) == {"name": text + "</script><!--\u2028"}
