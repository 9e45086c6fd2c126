from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.report import words
from runner.results.document.figures import Interval

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, words.NONE),
        (0, "0 ms"),
        (0.742, "0.742 ms"),
        (12.34, "12.3 ms"),
        (340.4, "340 ms"),
        (1020, "1.02 s"),
        (59_990, "60.0 s"),
        (125_000, "2 min 5 s"),
    ],
)
def test_durations_have_three_digits(value, text):
    assert words.latency(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, words.NONE),
        (0, "0 %"),
        (1, "100 %"),
        (0.492, "49.2 %"),
        (0.9997, "99.97 %"),
        (0.99995, "99.995 %"),
        (1 - 1e-12, ">99.999 %"),
        (0.9912, "99.12 %"),
        (0.0015, "0.15 %"),
        (1e-9, "<0.001 %"),
    ],
)
def test_shares_are_never_rounded_to_all_or_nothing(value, text):
    assert words.share(value) == text


@given(st.floats(min_value=0, max_value=1))
def test_only_all_reads_as_all_and_only_none_as_none(value):
    text = words.share(value)
    assert (text == "0 %") == (value == 0)
    assert (text == "100 %") == (value == 1)


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(), ""),
        (Interval(low=982.4, high=1490), "0.98 to 1.49 s"),
        (Interval(low=10.04, high=12.3), "10.0 to 12.3 ms"),
        (Interval(low=980), "at least 980 ms"),
        (Interval(high=2000, estimate=1500), "at most 2.00 s"),
    ],
)
def test_both_ends_of_a_latency_interval_stand_in_one_unit(interval, text):
    assert words.latency_interval(interval) == text


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("p50", -0.501, f"{MINUS}50.1 %"),
        ("requests", 0.02, "+2.00 %"),
        ("error_rate", 0.983, "+98.3 points"),
        ("outcome[reviews unavailable]", -0.1, f"{MINUS}10.0 points"),
        ("status[503]{index}", 0.0, "0 points"),
        ("p99", None, words.NONE),
    ],
)
def test_changes_are_relative_or_points(metric, value, text):
    assert words.change(metric, value) == text


def test_the_interval_of_a_change_names_its_unit_once():
    assert words.change_interval("p50", -0.513, -0.49) == f"{MINUS}51.3 to {MINUS}49.0 %"
    assert words.change_interval("p50", None, 0.1) == "at most +10.0 %"
    assert words.change_interval("p50", 0.1, None) == "at least +10.0 %"
    assert words.change_interval("p50", None, None) == ""


def test_times_are_shown_in_utc():
    assert words.moment("2026-11-24T07:12:09.5+01:00") == "24 Nov 2026, 06:12:09 UTC"
    assert words.clock("2026-11-24T06:12:09Z") == "06:12:09"
    assert words.moment("") == words.NONE
    assert words.moment("whenever") == "whenever"
    assert words.elapsed("2026-11-24T06:12:09Z", "2026-11-24T06:13:09Z") == 60
    assert words.elapsed("", "2026-11-24T06:13:09Z") is None


def test_counts_and_lists():
    assert words.count(1_234_567) == "1,234,567"
    assert words.plural(1, "block") == "1 block"
    assert words.plural(2, "retry", "retries") == "2 retries"
    assert words.listing([]) == ""
    assert words.listing(["a", "b", "c"]) == "a, b and c"


@given(st.floats(min_value=-1e9, max_value=1e9, allow_nan=False))
def test_digits_are_never_scientific_and_near_the_number(value):
    text = words.digits(value)
    assert "e" not in text
    read = float(text.replace(",", "").replace(MINUS, "-"))
    assert read == pytest.approx(value, rel=0.006, abs=1e-11)
