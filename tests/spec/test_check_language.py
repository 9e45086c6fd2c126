from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runner.errors import InputError, Position
from runner.spec.checks import blocks_needed, count_tests, parse_check, parse_guardrail, parse_objective
from runner.spec.metrics import Metric, Operator, Quantity, Unit

PLACE = Position("f.yaml", 7, 20)


def parse(text, baseline=None, promql=("reviews_5xx",)):
    return parse_check(text, "a", baseline, PLACE, promql=promql)


def refused(text, baseline=None, promql=("reviews_5xx",)):
    """The column inside the text, counted from 0, and the message."""
    with pytest.raises(InputError) as caught:
        parse(text, baseline, promql)
    (problem,) = caught.value.problems
    assert problem.where.line == PLACE.line
    return problem.where.column - PLACE.column, str(problem)


@pytest.mark.parametrize(
    ("text", "metric", "operator", "operand"),
    [
        ("p50 >= 2s", Metric("p50"), Operator.AT_LEAST, Quantity(2000, Unit.MILLISECONDS, text="2s")),
        ("p95 < 1.3s", Metric("p95"), Operator.LESS, Quantity(1300, Unit.MILLISECONDS, text="1.3s")),
        ("p99.9<=500ms", Metric("p99.9"), Operator.AT_MOST, Quantity(500, Unit.MILLISECONDS, text="500ms")),
        ("error_rate < 1%", Metric("error_rate"), Operator.LESS, Quantity(0.01, Unit.SHARE, text="1%")),
        ("rate > 20/s", Metric("rate"), Operator.MORE, Quantity(20, Unit.RATE, text="20/s")),
        ("errors == 0", Metric("errors"), Operator.EQUAL, Quantity(0, Unit.COUNT, text="0")),
        ("status[503] > 10%", Metric("status", "503"), Operator.MORE, Quantity(0.1, Unit.SHARE, text="10%")),
        ("status[0] == 0", Metric("status", "0"), Operator.EQUAL, Quantity(0, Unit.COUNT, text="0")),
        (
            "outcome[reviews unavailable] > 95%",
            Metric("outcome", "reviews unavailable"),
            Operator.MORE,
            Quantity(0.95, Unit.SHARE, text="95%"),
        ),
        (
            "proxy[productpage-v1 upstream_rq_timeout] > 0",
            Metric("proxy", "productpage-v1 upstream_rq_timeout"),
            Operator.MORE,
            Quantity(0, Unit.COUNT, text="0"),
        ),
        (
            "proxy[client cluster.outbound|9080|v1|reviews.default.svc.cluster.local;.upstream_rq_total] == requests",
            Metric("proxy", "client cluster.outbound|9080|v1|reviews.default.svc.cluster.local;.upstream_rq_total"),
            Operator.EQUAL,
            Metric("requests"),
        ),
        (
            "proxy[reviews /upstream_rq_[45]xx$/] > 3",
            Metric("proxy", "reviews /upstream_rq_[45]xx$/"),
            Operator.MORE,
            Quantity(3, Unit.COUNT, text="3"),
        ),
        (
            "promql[reviews_5xx] < 5",
            Metric("promql", "reviews_5xx"),
            Operator.LESS,
            Quantity(5, Unit.COUNT, text="5"),
        ),
        (
            "p95{GET /api/{id}} < 1s",
            Metric("p95", None, "GET /api/{id}"),
            Operator.LESS,
            Quantity(1000, Unit.MILLISECONDS, text="1s"),
        ),
        ("capacity >= 600/m", Metric("capacity"), Operator.AT_LEAST, Quantity(10, Unit.RATE, text="600/m")),
    ],
)
def test_absolute_checks(text, metric, operator, operand) -> None:
    check = parse(text)
    assert (check.metric, check.operator, check.operand) == (metric, operator, operand)
    assert str(check) == f"a: {text}"
    assert check.position == PLACE


@pytest.mark.parametrize(
    ("text", "operator", "operand"),
    [
        ("p50 <= -40%", Operator.AT_MOST, Quantity(-0.4, Unit.SHARE, signed=True, text="-40%")),
        ("p95 <= +150%", Operator.AT_MOST, Quantity(1.5, Unit.SHARE, signed=True, text="+150%")),
        ("p95 <= 10%", Operator.AT_MOST, Quantity(0.1, Unit.SHARE, text="10%")),
        ("p50 within 5%", Operator.WITHIN, Quantity(0.05, Unit.SHARE, text="5%")),
        ("p50 within 20ms", Operator.WITHIN, Quantity(20, Unit.MILLISECONDS, text="20ms")),
        ("error_rate <= +1%", Operator.AT_MOST, Quantity(0.01, Unit.SHARE, signed=True, text="+1%")),
        ("requests == requests", Operator.EQUAL, Metric("requests")),
    ],
)
def test_comparisons(text, operator, operand) -> None:
    check = parse(text, "b")
    assert (check.operator, check.operand) == (operator, operand)
    assert str(check) == f"a vs b: {text}"


@pytest.mark.parametrize(
    ("text", "baseline", "column", "words"),
    [
        ("p95 < 1.3", None, 6, "needs a unit; expected a duration"),
        ("error_rate < 0.01", None, 13, 'Did you mean "1%"?'),
        ("rate > 20", None, 7, 'Did you mean "20/s"?'),
        ("p96 < 1s", None, 0, 'Did you mean "p9'),
        ("p59 < 1s", None, 0, "is no metric; expected one of p50"),
        ("median < 1s", None, 0, 'Did you mean "p50"?'),
        ("error_rat < 1%", None, 0, 'Did you mean "error_rate"?'),
        ("p50 => 2s", None, 4, 'Did you mean ">="?'),
        ("p50 != 2s", None, 4, '"!=" is no operator'),
        ("p50 2s", None, 4, "an operator is missing"),
        ("p50", None, 3, "an operator is missing"),
        ("p50 <", None, 5, "a value is missing"),
        ("", None, 0, "a metric is missing"),
        ("p50 < 2s or so", None, 6, "is no value"),
        ("p50 < 20/s", None, 6, "does not fit p50"),
        ("p50 < p95 too", None, 9, "is too much"),
        ("error_rate < 101%", None, 13, "more than 100%"),
        ("errors < 1%", None, 9, 'use "error_rate"'),
        ("requests > -5", None, 11, "has a sign"),
        ("p95 <= +10%", None, 7, "VARIANT vs BASELINE"),
        ("p95 within 5%", None, 4, "within compares two variants"),
        ("p95 < error_rate", None, 6, "p95 is a latency and error_rate a share"),
        ("p95[GET /] < 1s", None, 3, "takes nothing in brackets"),
        ("dropped{GET /} < 1", None, 7, "not counted by request name"),
        ("p95{} < 1s", None, 3, "the braces are empty"),
        ("p95{GET / < 1s", None, 3, '"{" is never closed'),
        ("status > 5", None, 6, "status needs an argument"),
        ("status[teapot] > 5", None, 7, '"teapot" is no HTTP status'),
        ("outcome[] > 5%", None, 8, "the brackets are empty"),
        ("outcome[x > 5%", None, 7, '"[" is never closed'),
        ("proxy[reviews-v1] > 0", None, 6, "needs a stat after the workload"),
        ("proxy[reviews-v1 a b] > 0", None, 17, "has no blanks"),
        ("proxy[reviews-v1 /up(/] > 0", None, 20, "is no regular expression"),
        ("promql[reviews_4xx] > 0", None, 7, 'Did you mean "reviews_5xx"?'),
        ("promql[reviews_5xx] > 2s", None, 22, "PromQL's results have no unit"),
        ("p50 <= 200ms", "b", 7, "is no change"),
        ("p50 <= -140%", "b", 7, "more than all of it"),
        ("p50 within +5%", "b", 11, 'Did you mean "5%"?'),
        ("p50 within p50", "b", 11, "needs a margin"),
        ("p50 within 0%", "b", 11, "within a margin of zero"),
        ("error_rate within 5ms", "b", 18, "is no margin"),
        ("requests within 5", "b", 16, "is no margin"),
    ],
)
def test_what_is_wrong_is_named_at_its_column(text, baseline, column, words) -> None:
    at, message = refused(text, baseline)
    assert words in message
    assert at == column


def test_columns_of_a_rendered_text_are_not_columns_of_the_file() -> None:
    with pytest.raises(InputError) as caught:
        parse_check("p95 < 1.3", "a", None, PLACE, inside=False)
    assert caught.value.problems[0].where == PLACE


def test_promql_names_are_checked_only_when_known() -> None:
    assert parse_check("promql[anything] > 0", "a", None, PLACE).metric.argument == "anything"
    _, message = refused("promql[anything] > 0", promql=())
    assert "collect.promql is empty" in message


def test_a_proxy_metric_tells_its_parts() -> None:
    assert parse("proxy[reviews  /rq_5xx$/] > 0").metric.stat == ("reviews", "rq_5xx$", True)
    assert parse("proxy[reviews-v2 upstream_rq_total] > 0").metric.stat == ("reviews-v2", "upstream_rq_total", False)


def test_guardrails() -> None:
    rail = parse_guardrail("error_rate > 50% for 5s", PLACE)
    assert (rail.metric, rail.operator, rail.limit.value, rail.seconds) == (
        Metric("error_rate"),
        Operator.MORE,
        0.5,
        5.0,
    )
    assert parse_guardrail("p95 > 2s", PLACE).seconds == 0
    assert parse_guardrail("outcome[waiting for x] > 5% for 1m", PLACE).seconds == 60
    assert parse_guardrail("proxy[reviews /rq_5xx/] > 100 for 2s", PLACE).metric.stat == ("reviews", "rq_5xx", True)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("error_rate > 50 for 5s", 13, 'Did you mean "50%"?'),
        ("error_rate > 50% for 5", 21, "is not a duration"),
        ("error_rate > 50% for", 20, "is not a duration"),
        ("error_rate > errors", 13, "a limit is a value, not another metric"),
        ("p95 > p50", 6, "a limit is a value, not another metric"),
        ("promql[x] > 5", 0, "is read after the window"),
        ("capacity < 5/s", 0, "is found by a search"),
        ("p95 within 5%", 4, "within compares two variants"),
    ],
)
def test_wrong_guardrails(text, column, words) -> None:
    with pytest.raises(InputError) as caught:
        parse_guardrail(text, PLACE)
    (problem,) = caught.value.problems
    assert words in str(problem)
    assert problem.where.column - PLACE.column == column


def test_objectives() -> None:
    latency, errors = parse_objective("p99 < 250ms and error_rate < 0.1%", PLACE)
    assert (latency.text, latency.limit.value) == ("p99 < 250ms", 250)
    assert (errors.text, errors.limit.value) == ("error_rate < 0.1%", 0.001)
    (label,) = parse_objective("outcome[sold and shipped] > 99%", PLACE)
    assert label.metric.argument == "sold and shipped"
    with pytest.raises(InputError) as caught:
        parse_objective("p99 < 250ms and error_rate", PLACE)
    assert caught.value.problems[0].where.column - PLACE.column == len("p99 < 250ms and error_rate")


@pytest.mark.parametrize("tests", [1, 2, 3, 5, 9, 40])
def test_blocks_needed_is_holms_bound(tests) -> None:
    assert blocks_needed(tests) == 1 + math.ceil(math.log2(tests / 0.05))


def test_tests_are_the_comparisons_that_checks_decide_by() -> None:
    texts = ["p50 <= +10%", "p50 >= -10%", "p50 within 20ms", "p95 <= p95", "requests == requests", "p50 <= p95"]
    assert count_tests([parse(text, "b") for text in texts]) == 3
    assert count_tests([parse("p50 < 1s"), parse("p50 <= 1%", "b"), parse("p50 <= 1%", "c")]) == 2


def test_six_blocks_decide_one_comparison_and_nine_decide_nine() -> None:
    assert (blocks_needed(1), blocks_needed(9)) == (6, 9)


words = st.text(st.sampled_from("abcxyz019 _-./:|;"), min_size=1, max_size=12).map(str.strip).filter(bool)
plain_words = st.from_regex(r"[a-z][a-z0-9_.|;-]{0,20}", fullmatch=True)
requests = st.none() | words
latencies = st.builds(
    Metric, st.sampled_from(["p50", "p75", "p90", "p95", "p99", "p99.9", "mean", "max"]), st.none(), requests
)
counts = st.one_of(
    st.builds(Metric, st.sampled_from(["requests", "errors"]), st.none(), requests),
    st.builds(Metric, st.just("status"), st.sampled_from(["200", "503", "0"]), requests),
    st.builds(Metric, st.just("outcome"), words, requests),
    st.builds(Metric, st.just("proxy"), st.tuples(plain_words, plain_words).map(" ".join)),
)
orders = st.sampled_from([operator for operator in Operator if operator is not Operator.WITHIN])
numbers = st.integers(0, 10**6).map(str)
values = st.one_of(
    st.tuples(latencies, numbers.map(lambda number: f"{number}ms")),
    st.tuples(
        st.builds(Metric, st.just("error_rate"), st.none(), requests), st.integers(0, 100).map(lambda n: f"{n}%")
    ),
    st.tuples(counts, numbers),
    st.tuples(st.just(Metric("capacity")), numbers.map(lambda number: f"{number}/s")),
)


@given(values, orders)
def test_an_absolute_check_reads_back_as_it_was_written(pair, operator) -> None:
    metric, value = pair
    check = parse(f"{metric} {operator} {value}")
    assert (check.metric, check.operator) == (metric, operator)
    assert isinstance(check.operand, Quantity)
    assert check.operand.text == value
    assert parse(check.text) == check


@given(st.one_of(latencies, counts), orders, st.sampled_from(["", "+", "-"]), st.integers(0, 100))
def test_a_comparison_reads_back_as_it_was_written(metric, operator, sign, percent) -> None:
    check = parse(f"{metric} {operator} {sign}{percent}%", "b")
    assert (check.metric, check.operator) == (metric, operator)
    assert isinstance(check.operand, Quantity)
    assert check.operand.signed is bool(sign)
    assert check.operand.value == pytest.approx(percent / 100 * (-1 if sign == "-" else 1))


@given(counts, counts, orders)
def test_two_metrics_of_one_kind_read_back(left, right, operator) -> None:
    check = parse(f"{left} {operator} {right}", "b")
    assert (check.metric, check.operator, check.operand) == (left, operator, right)


pieces = st.sampled_from(
    [*"[]{}< 1%s/+é", *["p95", "error_rate", "status", "proxy", "<=", "==", "within", "for", "and"]]
)


@given(st.one_of(st.text(max_size=40), st.lists(pieces, max_size=12).map("".join)), st.sampled_from([None, "b"]))
@example("p95 < 1e999%", None)
@example("p95 < " + "9" * 400 + "s", None)
@example("proxy[a /(?P<x/] > 0", None)
@example("proxy[a /a{99999999999999}/] > 0", None)
def test_any_text_is_a_check_or_an_input_error(text, baseline) -> None:
    for read in (
        lambda: parse(text, baseline),
        lambda: parse_guardrail(text, PLACE),
        lambda: parse_objective(text, PLACE),
    ):
        problems = []
        try:
            assert read()
        except InputError as error:
            problems = error.problems
        assert all(problem.where.column >= PLACE.column for problem in problems)
