from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from judged import codes, steady

from runner.analysis.steadiness import mser_cut
from runner.analysis.validity import judge
from runner.analysis.validity_types import ValidityInput
from runner.results.document.trial import Invalid
from runner.results.window import Second


def test_short_windows_are_remarked_not_judged(window_of):
    found = judge(ValidityInput(window_of([10] * 20 + [100] * 20, seconds=4)))
    assert found.valid
    assert found.remarks == [
        "drift was not judged: it takes 10 seconds with answers, and there were 4",
        "steadiness was not judged: it takes 20 seconds with answers, and there were 4",
    ]


def test_drift(window_of):
    rising = [latency * (1 + 0.3 * i / 600) for i, latency in enumerate(steady())]
    found = judge(ValidityInput(window_of(rising, seconds=30)))
    assert Invalid.DRIFT in found.codes
    assert "drifted by 3" in found.notes[0].detail
    assert codes(window_of(rising, seconds=9)) == []
    assert codes(window_of(rising, seconds=30), rate_varies=True) == []
    gentle = [latency * (1 + 0.05 * i / 600) for i, latency in enumerate(steady())]
    assert codes(window_of(gentle, seconds=30)) == []
    # 30 % of 1 ms is no half millisecond
    assert codes(window_of([latency / 100 for latency in rising], seconds=30)) == []


def test_noise_alone_is_no_drift_and_not_unsteady(window_of):
    found = [codes(window_of(steady(600, seed=seed), seconds=30)) for seed in range(40)]
    assert found == [[]] * 40


def test_not_steady(window_of):
    # the warm-up filled 60 % of the window, without the trend over the rest that drift looks for
    late = steady(360, 150) + steady(240, 100, seed=4)
    found = judge(ValidityInput(window_of(late, seconds=30)))
    assert Invalid.NOT_STEADY in found.codes
    note = next(note for note in found.notes if note.code is Invalid.NOT_STEADY)
    assert "settled only after 18 of 30 seconds" in note.detail
    early = steady(120, 150) + steady(480, 100, seed=4)
    assert Invalid.NOT_STEADY not in codes(window_of(early, seconds=30))
    assert Invalid.NOT_STEADY not in codes(window_of(late, seconds=15))


def test_seconds_without_answers_are_no_zeros(window_of):
    window = window_of(steady(600), seconds=30)
    window.seconds += [Second(offset) for offset in range(30, 35)]
    assert codes(window) == []


@given(st.lists(st.floats(1, 1000), min_size=6, max_size=30))
def test_the_mser_cut_is_the_best_of_all_cuts(values):
    y = np.array(values)
    cut = mser_cut(y)
    spreads = [np.sum((y[d:] - y[d:].mean()) ** 2) / (len(y) - d) ** 2 for d in range(len(y) - 4)]
    assert cut <= len(y) - 5
    assert spreads[cut] == min(spreads)
