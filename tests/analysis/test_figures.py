from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.analysis.figures import by_name, figures
from runner.analysis.frames import counters_frame, seconds_frame, trials_frame


def test_figures_merge_windows_and_keep_what_was_counted(window_of):
    first = window_of([10, 20, 30, 40], seconds=2, errors=1, unanswered=1, outcomes={"stars": 3}, dropped=2, service=5)
    second = window_of([50, 60], seconds=1, status="503", errors=2)
    found = figures([first, second])
    assert (found.requests, found.errors, found.dropped) == (7, 4, 2)
    assert found.error_rate == pytest.approx(4 / 7)
    assert found.status == {"0": 1, "200": 4, "503": 2}
    assert found.exceptions == {"ConnectionRefusedError": 1}
    assert found.outcomes == {"stars": 3}
    assert found.rate == pytest.approx(7 / 3)
    assert found.latency_ms.p50 == pytest.approx(30, rel=0.004)
    assert found.latency_ms.mean == pytest.approx(35)
    assert found.latency_ms.max == 60
    assert found.service_ms.p50 == pytest.approx(5, rel=0.004)


def test_one_request_name_only(window_of):
    windows = [window_of([10, 10], name="a"), window_of([30], name="b", errors=1)]
    assert figures(windows, "a").requests == 2
    assert figures(windows, "b").error_rate == 1
    assert figures(windows, "c").requests == 0
    split = by_name(windows)
    assert list(split) == ["a", "b"]
    # over all measured time, also the window in which the name was not requested
    assert split["b"].rate == figures(windows, "b").rate == pytest.approx(1 / 8)
    assert split["a"] == figures(windows, "a")


def test_nothing_measured_has_no_latency_and_no_division(window_of):
    for windows in ([], [window_of([])]):
        found = figures(windows)
        assert found.requests == 0
        assert found.error_rate == found.rate == 0
        assert found.latency_ms.p50 is None
        assert found.latency_ms.max is None


@given(st.lists(st.lists(st.integers(0, 10_000), max_size=20), min_size=1, max_size=4))
def test_quantiles_of_merged_windows_are_those_of_all_requests(window_of, parts):
    found = figures([window_of(part) for part in parts]).latency_ms
    everything = sorted(value for part in parts for value in part)
    if not everything:
        assert found.p95 is None
        return
    for share, value in ((0.5, found.p50), (0.95, found.p95), (0.999, found.p99_9)):
        rank = max(1, -(-len(everything) * share // 1))
        assert value == pytest.approx(everything[int(rank) - 1], rel=0.005, abs=0.001)
    assert found.max == everything[-1]


def test_frames_have_one_row_per_trial_second_and_counter(trial_of):
    trials = [
        trial_of("a", 1, [10, 20], seconds=2, increases={"client": {"x": 3, "still": 0}}),
        trial_of("b", 1, [], seconds=2, valid=False),
    ]
    per_trial = trials_frame(trials)
    assert per_trial["variant"].tolist() == ["a", "b"]
    assert per_trial["requests"].tolist() == [2, 0]
    assert per_trial["valid"].tolist() == [True, False]
    assert per_trial["max_ms"][0] == 20
    per_second = seconds_frame(trials)
    assert per_second["offset"].tolist() == [0, 1, 0, 1]
    assert per_second["p50_ms"].isna().tolist() == [False, False, True, True]
    assert per_second["p50_ms"][1] == pytest.approx(20, rel=0.004)
    counters = counters_frame(trials)
    assert counters[["workload", "stat", "increase"]].to_numpy().tolist() == [["client", "x", 3]]
    assert trials_frame([]).columns[0] == seconds_frame([]).columns[0] == counters_frame([]).columns[0] == "variant"
