"""What is found in a query: selectors, ranges, and the query as it is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.probes.promql import Query, Selector, seconds_of


def _query(text: str) -> Query:
    return Query("q", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('sum(increase(a_total{x="1"}[$window]))', [('a_total{x="1"}', "$window")]),
        ("sum by (le) (rate(b_bucket[5m]))", [("b_bucket", "5m")]),
        ("sum without(pod) (c) / on(a, b) group_left(z) d offset 5m > bool 1.5e3", [("c", None), ("d", None)]),
        ('e{path="}{[x]"} # and f\nunless g', [('e{path="}{[x]"}', None), ("g", None)]),
        ("max_over_time(sum(rate(h[10s]))[$window:1s])", [("h", "10s")]),
        ('{__name__=~"i|j"} or vector(0)', [('{__name__=~"i|j"}', None)]),
        ('label_replace(k, "x", "$1", "y", "(.*)")', [("k", None)]),
        ("1 + 2", []),
    ],
)
def test_selectors_are_found(text, expected):
    assert [(one.text, one.over) for one in _query(text).selectors] == expected


def test_what_is_counted_is_written_as_a_difference():
    query = _query('100 * sum(rate(e{code=~"5.."}[$window])) / sum( increase ( e [ $window ] ) )')
    assert [one.text for one in query.counted] == ['e{code=~"5.."}', "e"]
    assert not query.sampled
    asked = query.from_edge_to_edge(30.25, 20.0, 1000.0)
    assert asked == (
        '100 * sum(((e{code=~"5.."} - (e{code=~"5.."} offset 30250ms or e{code=~"5.."} * 0)) / 20.000)) '
        "/ sum( (e - (e offset 30250ms or e * 0)) )"
    )


def test_what_looks_at_readings_keeps_its_range():
    query = _query("avg_over_time(g[$window]) + max_over_time(h[$window]) * 2")
    assert not query.counted
    assert [one.text for one in query.sampled] == ["g", "h"]
    assert query.over_window(4.5, 77.0) == "avg_over_time(g[4500ms]) + max_over_time(h[4500ms]) * 2"


def test_both_at_once_keep_their_own_moments():
    query = _query("sum(increase(a[$window])) / avg_over_time(g[$window])")
    assert [one.text for one in query.sampled] == ["g"]
    assert query.from_edge_to_edge(5, 2, 99.5) == (
        "sum((a - (a offset 5000ms or a * 0))) / avg_over_time(g[2000ms] @ 99.500)"
    )


def test_a_subquery_is_left_to_prometheus():
    query = _query("max_over_time(rate(a[$window])[$window:1s])")
    assert not query.counted
    assert query.over_window(3, 9) == "max_over_time(rate(a[3000ms])[3000ms:1s])"


def test_labels_of_requests_do_not_say_who_was_read():
    one = Selector('a{destination_workload="r", response_code=~"5..",le="1"}')
    assert one.readers == 'a{destination_workload="r"}'
    assert (one.name, Selector('b{le="1"}').readers, Selector("c").readers) == ("a", "b", "c")


def test_ranges_that_do_not_follow_the_window():
    assert _query("rate(a[1m30s]) + increase(a[$window]) + rate(a[5s])").longest() == ("1m30s", 90.0)
    assert _query("increase(a[$window])").longest() == ("", 0.0)
    assert [seconds_of(text) for text in ("1h", "250ms", "$window", "", "x")] == [3600.0, 0.25, 0.0, 0.0, 0.0]


@given(st.text(alphabet="ab{}[]()\"'`$window,= \n#5m~", max_size=60))
def test_any_text_is_taken_apart_without_a_fault(text):
    query = _query(text)
    assert all(one.text for one in query.selectors)
    for sent in (query.over_window(2.0, 5.0), query.from_edge_to_edge(3.0, 2.0, 5.0), query.tried()):
        assert "$window" not in sent
