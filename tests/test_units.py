from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.units import (
    format_duration,
    format_rate,
    format_share,
    parse_duration,
    parse_rate,
    parse_share,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("2s", 2.0),
        ("3m", 180.0),
        ("1m30s", 90.0),
        ("1h2m", 3720.0),
        ("0.5s", 0.5),
        (".5s", 0.5),
        (" 2s ", 2.0),
        ("250us", 250e-6),
        ("250µs", 250e-6),
        ("250μs", 250e-6),
        ("7ns", 7e-9),
        ("0s", 0.0),
    ],
)
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "2", "s", "2 s", "-2s", "2sec", "1:30", "2s3", "1e3s", "2S", "٣s", "9" * 400 + "s"]
)
def test_what_is_no_duration_says_what_one_looks_like(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration such as 500ms, 2s or 3m"):
        parse_duration(text)


def test_rates_are_per_second() -> None:
    assert parse_rate("20/s") == 20
    assert parse_rate("600/m") == pytest.approx(10)
    assert parse_rate("36 / h") == pytest.approx(0.01)
    for text in ("20", "20rps", "/s", "-1/s", "20/d"):
        with pytest.raises(ValueError, match="not a rate such as 20/s"):
            parse_rate(text)


def test_shares_stay_within_the_whole() -> None:
    assert parse_share("5%") == pytest.approx(0.05)
    assert parse_share("100 %") == 1
    with pytest.raises(ValueError, match="more than 100%"):
        parse_share("101%")
    for text in ("5", "-5%", "%", "five%"):
        with pytest.raises(ValueError, match="not a share such as 5%"):
            parse_share(text)


@given(st.text(max_size=12))
def test_no_text_raises_anything_but_value_error(text: str) -> None:
    for parse in (parse_duration, parse_rate, parse_share):
        try:
            value = parse(text)
        except ValueError:
            continue
        assert value >= 0


@given(st.integers(0, 10**6), st.sampled_from([("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)]))
def test_a_number_with_a_unit_is_that_many_units(number: int, unit: tuple[str, float]) -> None:
    assert parse_duration(f"{number}{unit[0]}") == pytest.approx(number * unit[1])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (6.0231, "6.02 s"),
        (0.34, "340 ms"),
        (0.00074, "0.74 ms"),
        (0.0123, "12 ms"),
        (125, "2 min 5 s"),
        (120, "2 min"),
        (59.97, "1 min"),
        (0.9996, "1 s"),
        (0.9994, "999 ms"),
        (0, "0 ms"),
        (-0.5, "-500 ms"),
    ],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3599, "59 min 59 s"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (86_399, "1 d"),
        (86_400, "1 d"),
        (100_000, "1 d 4 h"),
        (7 * 86_400, "7 d"),
    ],
)
def test_hours_and_days_in_their_two_greatest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_what_is_less_than_zero_is_said_to_be() -> None:
    with pytest.raises(ValueError, match="'-1s' is not a duration such as 500ms, 2s or 3m: it is less than zero"):
        parse_duration("-1s")


@given(st.floats(0.001, 1e7))
def test_a_rate_reads_back_as_it_was_written(rate: float) -> None:
    assert parse_rate(format_rate(rate)) == pytest.approx(rate, rel=6e-4)


def test_rates_never_use_exponents() -> None:
    assert format_rate(20) == "20/s"
    assert format_rate(12345) == "12345/s"
    assert format_rate(0.00002) == "0.00002/s"
    assert format_rate(0) == "0/s"


def test_a_share_is_never_rounded_to_all() -> None:
    assert format_share(0.001) == "0.1 %"
    assert format_share(0.4921) == "49.2 %"
    assert format_share(1) == "100 %"
    assert format_share(0) == "0 %"
    assert format_share(0.9997) == "99.97 %"
    assert format_share(2999 / 3000) == "99.97 %"


@given(st.integers(1, 10**9).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_only_the_whole_reads_as_100_percent(part: tuple[int, int]) -> None:
    number, of = part
    assert (format_share(number / of) == "100 %") == (number == of)
    assert (format_share(number / of) == "0 %") == (number == 0)
