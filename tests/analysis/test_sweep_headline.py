"""The one sentence of a sweep."""

from runner.analysis.sweep import sweep_headline
from runner.results.document.figures import Latency
from runner.results.document.variant import VariantRecord


def variant(name, p95, *, unavailable=0, requests=100, timeout=None, family="timeout-{{ timeout }}"):
    return VariantRecord(
        name=name,
        requests=requests,
        latency_ms=Latency(p95=p95),
        outcomes={"reviews unavailable": unavailable, "red stars": 50},
        family=family if timeout else name,
        matrix={"timeout": timeout} if timeout else {},
    )


def sweep():
    return [
        variant("no-timeout", 1100),
        variant("timeout-0.2s", 464, unavailable=25, timeout="0.2s"),
        variant("timeout-0.5s", 1040, unavailable=22, timeout="0.5s"),
        variant("timeout-2s", 1090, timeout="2s"),
    ]


def test_it_lists_the_values_in_order_and_names_what_moved():
    assert sweep_headline(sweep()) == (
        "By timeout (0.2s, 0.5s, 2s): p95 464 ms, 1.04 s, 1.09 s; error rate 0 % at all of them; "
        "`reviews unavailable` 25 %, 22 %, 0 %. The baseline no-timeout has p95 1.1 s and error rate 0 %."
    )


def test_without_a_baseline_outside_and_with_values_that_were_not_measured():
    variants = sweep()[1:]
    variants[1] = variant("timeout-0.5s", None, requests=0, timeout="0.5s")
    assert sweep_headline(variants) == (
        "By timeout (0.2s, 0.5s, 2s): p95 464 ms, unknown, 1.09 s; error rate 0 %, unknown, 0 %; "
        "`reviews unavailable` 25 %, unknown, 0 %."
    )


def test_any_other_run_has_the_usual_headline():
    assert sweep_headline(sweep()[:3]) is None
    assert sweep_headline([*sweep(), variant("another", 10)]) is None
    assert sweep_headline([sweep()[1], sweep()[0], *sweep()[2:]]) is None
    assert sweep_headline([*sweep(), variant("other-0.2s", 3, timeout="0.2s", family="other")]) is None
    two = sweep()
    for one in two[1:]:
        one.matrix["percent"] = "50"
    assert sweep_headline(two) is None
    assert sweep_headline([]) is None
