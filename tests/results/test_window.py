from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runner.results.trial import TrialFile
from runner.results.window import Second, Window

requests = st.lists(
    st.tuples(
        st.sampled_from(["productpage", "login"]),
        st.sampled_from(["200", "503", "0"]),
        st.integers(0, 10**7),
        st.booleans(),
        st.sampled_from([None, "red stars", "no stars"]),
    ),
    max_size=20,
)


def second_of(seen: list[Any], offset: int = 0) -> Second:
    second = Second(offset=offset, due=len(seen), in_flight=1)
    for name, status, microseconds, failed, label in seen:
        cell = second.cell(name, status)
        if status == "0":
            cell.unanswered += 1
            second.exceptions["TimeoutError"] = second.exceptions.get("TimeoutError", 0) + 1
        else:
            cell.response.record(microseconds)
            cell.service.record(microseconds // 2)
        cell.errors += failed
        second.lag.record(microseconds // 100)
        if label:
            labels = second.outcomes.setdefault(name, {})
            labels[label] = labels.get(label, 0) + 1
    return second


def total(second: Second) -> int:
    return sum(cell.requests for by_status in second.cells.values() for cell in by_status.values())


@given(requests, requests)
def test_adding_seconds_is_the_same_as_seeing_all(first: list[Any], second: list[Any]) -> None:
    together = second_of(first)
    together.add(second_of(second))
    both = second_of(first + second)
    both.in_flight = 2
    assert together.to_json() | {"outcomes": {}} == both.to_json() | {"outcomes": {}}
    assert together.outcomes == both.outcomes
    assert total(together) == len(first) + len(second)


@given(requests, requests)
def test_a_window_comes_back_through_json(first: list[Any], second: list[Any]) -> None:
    seconds = [second_of(first, 0), second_of(second, 1)]
    window = Window(seconds, 2.0, open_loop=False, scheduled=0, started=1.0, ended=3.5, generator_cpu=0.1, stopped=True)
    trial = TrialFile("a", 3, 1, window)
    again = TrialFile.from_json(json.loads(json.dumps(trial.to_json())))
    assert again == trial
    assert again.window.stopped
    assert total(again.window.whole()) == len(first) + len(second)


def test_the_whole_leaves_the_seconds_alone() -> None:
    seconds = [second_of([("productpage", "200", 5, False, "red stars")], offset) for offset in range(3)]
    before = [second.to_json() for second in seconds]
    window = Window(seconds, 3.0, open_loop=True, scheduled=3, started=0.0, ended=3.0, generator_cpu=0.0)
    whole = window.whole()
    assert whole.cells["productpage"]["200"].response.count == 3
    assert whole.outcomes == {"productpage": {"red stars": 3}}
    assert [second.to_json() for second in seconds] == before
