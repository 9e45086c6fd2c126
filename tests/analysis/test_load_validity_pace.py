"""What fortio set out to do against what it did."""

from __future__ import annotations

import pytest

from runner.analysis.validity import judge
from runner.analysis.validity_types import ValidityInput
from runner.results.document.trial import Invalid
from runner.results.window import Pace


def found(window_of, requests, pace, **more):
    changes = {
        name: more.pop(name) for name in ("length", "series", "remarks", "generator_cores", "stopped") if name in more
    }
    window = window_of([10.0] * requests, open_loop=False, **more)
    window.pace = pace
    for name, value in changes.items():
        setattr(window, name, value)
    return judge(ValidityInput(window))


def test_a_pace_that_was_kept_is_valid(window_of):
    assert found(window_of, 400, Pace(100, 400, 4.0)).valid
    assert found(window_of, 400, Pace(100, 400), length=4.02).valid
    assert found(window_of, 30, Pace(0, 30), length=0.1).valid
    assert found(window_of, 9000, Pace(0, 0, 4.0)).valid


@pytest.mark.parametrize(
    ("requests", "pace", "length", "told"),
    [
        (320, Pace(100, 400, 4.0), 4.0, "320 of 400 requests were sent (80.0 %; 99% are needed): the connections could not keep to 100/s"),
        (29, Pace(0, 30), 0.1, "29 of 30 requests were sent (96.7 %; 99% are needed)"),
        (400, Pace(100, 400), 5.0, "80.16 requests per second were sent of 100 (99% are needed)"),
        (900, Pace(0, 0, 4.0), 1.0, "fortio ended after 1 s of 4 s of load"),
    ],
)  # fmt: skip
def test_a_pace_that_was_missed_is_a_missed_rate(window_of, requests, pace, length, told):
    result = found(window_of, requests, pace, length=length)
    assert result.codes == [Invalid.RATE_MISSED]
    assert result.notes[0].detail == told
    assert found(window_of, requests, pace, length=length, stopped=True).codes == []


def test_waits_that_fell_behind_are_lag_that_no_latency_shows(window_of):
    (note,) = found(window_of, 400, Pace(100, 400, 4.0, 0.1919)).notes
    assert note.code is Invalid.LAG
    assert note.detail.startswith("19.2% of fortio's waits should have been over before they began (5% may)")


def test_a_generator_may_use_what_it_has(window_of):
    assert found(window_of, 400, Pace(0, 0, 4.0), cpu=1.5, generator_cores=2).valid
    result = found(window_of, 400, Pace(0, 0, 4.0), cpu=1.7, generator_cores=2)
    assert result.codes == [Invalid.GENERATOR_CPU]
    assert "used 1.7 of the 2 cores that it has; above 1.6 it delays its own requests" in result.notes[0].detail


def test_without_a_series_no_trend_is_judged_and_it_is_said(window_of):
    result = found(window_of, 400, Pace(0, 0, 4.0), series=False, remarks=["fortio lowered its connections"])
    assert result.valid
    assert result.remarks == [
        "fortio lowered its connections",
        "drift and steadiness were not judged: without its access log fortio gives no time series",
    ]
