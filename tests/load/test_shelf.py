"""Seconds of a window come back from the shelf as they were added, however late their parts came."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.load.shelf import Shelf
from runner.results.window import Second, Window

_PART = st.tuples(
    st.integers(0, 60),
    st.sampled_from(["/", "/productpage"]),
    st.sampled_from(["200", "503", "0"]),
    st.lists(st.integers(0, 10**7), max_size=5),
)


def _second(offset: int, name: str, status: str, durations: list[int]) -> Second:
    second = Second(offset, due=len(durations), outcomes={name: {"stars": 1}}, exceptions={"Timeout": 1}, in_flight=2)
    cell = second.cell(name, status)
    for duration in durations:
        cell.response.record(duration)
        cell.service.record(duration // 2)
        second.lag.record(duration // 3)
    cell.unanswered += 1
    return second


@given(st.lists(_PART, max_size=80))
def test_what_was_added_comes_back(parts: list[tuple[int, str, str, list[int]]]) -> None:
    shelf, plain = Shelf(), {offset: Second(offset) for offset in range(61)}
    for offset, *rest in parts:
        shelf.at(offset).add(_second(offset, *rest))
        plain[offset].add(_second(offset, *rest))
    number = max((offset for offset, *_ in parts), default=-1) + 1
    assert shelf.end() == number
    assert [one.to_json() for one in shelf.first(61)] == [plain[offset].to_json() for offset in range(61)]


def test_old_seconds_are_small() -> None:
    shelf = Shelf()
    for offset in range(200):
        second = shelf.at(offset)
        for request in range(100):
            second.cell("/", "200").response.record(1000 + 37 * request)
    packed = shelf._packed
    assert len(packed) == 185
    assert max(map(len, packed.values())) < 1000
    window = Window(
        shelf.first(200), 200.0, open_loop=True, scheduled=20000, started=0.0, ended=200.0, generator_cpu=0.1
    )
    assert sum(cell.requests for cell in window.whole().cells["/"].values()) == 20000
