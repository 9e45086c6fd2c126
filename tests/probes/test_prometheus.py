from __future__ import annotations

from runner.probes.prometheus import absent


def test_every_entry_is_absent_with_a_reason() -> None:
    first, second = absent({"reviews_5xx": "sum(x)", "all": "y"})
    assert (first.name, second.name) == ("promql[reviews_5xx]", "promql[all]")
    assert "no Prometheus" in first.reason
    assert absent([]) == []
    assert "plain URL" in absent(["a"], "none")[0].reason
