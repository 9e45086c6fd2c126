"""Requests that a proxy refused at their connection did reach somebody; without its count nobody knows."""

from __future__ import annotations

import pytest

from runner.analysis.refusals import refusing
from runner.analysis.validity import judge
from runner.analysis.validity_types import ValidityInput
from runner.results.document.trial import Invalid

CHAINS = "listener.127.71.4.11_8080.no_filter_chain_match"
CLUSTERS_CHAINS = "listener.0.0.0.0_15006.no_filter_chain_match"


@pytest.mark.parametrize(
    ("increases", "expected"),
    [
        ({"httpbin": {CHAINS: 100}}, {"httpbin": 100}),
        ({"httpbin": {CLUSTERS_CHAINS: 120}}, {"httpbin": 120}),
        ({"httpbin-0": {CHAINS: 60}, "httpbin-1": {CHAINS: 39}, "sleep": {}}, {"httpbin-0": 60, "httpbin-1": 39}),
        ({"httpbin": {CHAINS: 98}}, {}),
        ({"httpbin": {"listener.127.71.4.11_8080.downstream_cx_total": 100}}, {}),
        ({"httpbin": {f"x.{CHAINS}": 100}}, {}),
        ({}, {}),
    ],
)
def test_proxies_count_what_they_refuse(increases: dict[str, dict[str, int]], expected: dict[str, int]) -> None:
    assert refusing(100, increases) == expected


def test_refused_is_not_unreachable(window_of) -> None:
    found = judge(ValidityInput(window_of([], unanswered=5), increases={"httpbin": {CHAINS: 5}}))
    assert Invalid.UNREACHABLE not in found.codes
    (remark,) = [text for text in found.remarks if "They did arrive" in text]
    assert "none of 5 requests got a response" in remark
    assert "refused were 5 connections by httpbin" in remark


def test_a_count_that_does_not_cover_the_silence_proves_nothing(window_of) -> None:
    found = judge(ValidityInput(window_of([], unanswered=5), increases={"httpbin": {CHAINS: 4}}))
    assert found.codes == [Invalid.UNREACHABLE]
