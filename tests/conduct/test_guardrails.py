"""Guardrails: what crosses them, what does not, and that a silent second says nothing."""

import pytest

from runner.conduct.guardrails import GuardrailWatch
from runner.results.window import Second
from runner.spec.checks import parse_guardrail


def second(offset, *, good=0, bad=0, milliseconds=10, dropped=0, label=None):
    made = Second(offset, dropped=dropped)
    for status, number in (("200", good), ("503", bad)):
        if number:
            cell = made.cell("page", status)
            for _ in range(number):
                cell.response.record(int(milliseconds * 1000))
            cell.errors = number if status == "503" else 0
    if label:
        made.outcomes = {"page": {label: good}}
    return made


def watch(text, counters=dict, workloads=None):
    made = GuardrailWatch([parse_guardrail(text, None)], counters, workloads or {})
    made.begin()
    return made


def crossed_at(guard, seconds):
    for index, item in enumerate(seconds, 1):
        crossing = guard.see(item)
        if crossing:
            return index, crossing.observed
    return None


def test_an_error_rate_must_last_as_long_as_it_says():
    bad, good = second(0, good=2, bad=8), second(0, good=10)
    assert crossed_at(watch("error_rate > 50% for 3s"), [bad, bad, good, bad, bad]) is None
    assert crossed_at(watch("error_rate > 50% for 3s"), [bad, bad, bad]) == (3, "error_rate was 80 %")
    assert crossed_at(watch("error_rate > 50%"), [good, bad]) == (2, "error_rate was 80 %")


def test_a_second_without_requests_neither_crosses_nor_clears():
    bad, silent = second(0, bad=5), second(0)
    assert crossed_at(watch("error_rate > 50% for 2s"), [bad, silent, silent, bad]) == (4, "error_rate was 100 %")


@pytest.mark.parametrize(
    ("text", "crossing", "observed"),
    [
        ("p95 > 500ms", second(0, good=20, milliseconds=700), "p95 was 700 ms"),
        ("mean > 500ms", second(0, good=20, milliseconds=700), "mean was 700 ms"),
        ("max >= 700ms", second(0, good=1, milliseconds=700), "max was 700 ms"),
        ("rate < 5/s", second(0, good=3), "rate was 3"),
        ("errors >= 4", second(0, good=5, bad=4), "errors was 4"),
        ("dropped > 0", second(0, good=5, dropped=2), "dropped was 2"),
        ("status[503] > 20%", second(0, good=5, bad=5), "status[503] was 50 %"),
        ("status[503] >= 5", second(0, good=5, bad=5), "status[503] was 5"),
        ("outcome[no stars] > 90%", second(0, good=5, label="no stars"), "outcome[no stars] was 100 %"),
        ("error_rate{page} > 10%", second(0, good=1, bad=1), "error_rate{page} was 50 %"),
    ],
)
def test_each_metric(text, crossing, observed):
    calm = second(0, good=20, milliseconds=10)
    assert crossed_at(watch(text), [calm, crossing]) == (2, observed)


def test_a_request_name_of_its_own():
    assert crossed_at(watch("error_rate{other} > 10%"), [second(0, bad=5)]) is None


def test_proxy_counters_count_from_the_beginning_of_the_window(monkeypatch):
    values = iter([{"reviews-v1": {"a.upstream_rq_5xx": 7}}, {"reviews-v1": {"a.upstream_rq_5xx": 17}}])
    clock = iter(range(0, 100, 2))
    monkeypatch.setattr("runner.conduct.guardrails.time.monotonic", lambda: next(clock))
    guard = watch("proxy[reviews upstream_rq_5xx] >= 10", lambda: next(values), {"reviews": ["reviews-v1"]})
    assert crossed_at(guard, [second(0, good=1)]) == (1, "proxy[reviews upstream_rq_5xx] was 10")


def test_a_new_window_starts_streaks_again():
    guard = watch("error_rate > 50% for 2s")
    assert guard.see(second(0, bad=1)) is None
    guard.begin()
    assert guard.see(second(0, bad=1)) is None
