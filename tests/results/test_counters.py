from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.results.counters import added, by_workload, increase, increases

readings = st.dictionaries(
    st.sampled_from(["reviews-v1-0", "reviews-v1-1", "client"]),
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 50), max_size=4),
)


def test_a_counter_made_anew_counts_from_zero() -> None:
    assert increase(10, 14) == 4
    assert increase(10, 3) == 3
    assert increase(None, 3) == 3
    assert increase(3, 3) == 0


@given(readings, readings)
def test_only_what_moved_is_kept(before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]) -> None:
    moved = increases(before, after)
    for proxy, counters in after.items():
        for name, value in counters.items():
            rise = increase(before.get(proxy, {}).get(name), value)
            assert moved.get(proxy, {}).get(name, 0) == rise
    assert all(number > 0 for counters in moved.values() for number in counters.values())
    assert set(moved) == set(after)


@given(readings, readings)
def test_windows_add_up(first: dict[str, dict[str, int]], second: dict[str, dict[str, int]]) -> None:
    total = added([first, second])
    for proxy in {*first, *second}:
        for name in "abcd":
            both = first.get(proxy, {}).get(name, 0) + second.get(proxy, {}).get(name, 0)
            assert total[proxy].get(name, 0) == both


def test_replicas_are_one_workload() -> None:
    per_proxy = {"reviews-v1-0": {"x": 1}, "reviews-v1-1": {"x": 2, "y": 3}, "client": {"x": 5}}
    assert by_workload(per_proxy, lambda proxy: proxy.removesuffix("-0").removesuffix("-1")) == {
        "reviews-v1": {"x": 3, "y": 3},
        "client": {"x": 5},
    }
