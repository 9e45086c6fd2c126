from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.istio.hosts import full_gateway, full_host, host_matches, hosts_overlap, service_host


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("reviews", "reviews.default.svc.cluster.local"),
        ("reviews.default", "reviews.default"),
        ("reviews.other.svc.cluster.local", "reviews.other.svc.cluster.local"),
        ("reviews.default.svc.cluster.local.", "reviews.default.svc.cluster.local"),
        ("*", "*"),
        ("*.example.com", "*.example.com"),
    ],
)
def test_only_names_without_a_dot_are_completed(name, full):
    assert full_host(name, "default") == full


@given(st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True), st.sampled_from(["default", "prod"]))
def test_completing_twice_changes_nothing(name, namespace):
    once = full_host(name, namespace)
    assert once == service_host(name, namespace)
    assert full_host(once, "elsewhere") == once


@pytest.mark.parametrize(
    ("pattern", "host", "matches"),
    [
        ("*", "a", True),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "A.B.Example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", ".example.com", False),
        ("a.example.com", "a.example.com", True),
        ("a.example.com", "b.example.com", False),
    ],
)
def test_wildcards_stand_for_one_or_more_labels(pattern, host, matches):
    assert host_matches(pattern, host) is matches


def test_two_patterns_overlap_when_one_is_inside_the_other():
    assert hosts_overlap("*.com", "*.example.com")
    assert hosts_overlap("a.example.com", "*.com")
    assert not hosts_overlap("*.org", "*.example.com")


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("mesh", "mesh"),
        ("gw", "default/gw"),
        ("./gw", "default/gw"),
        ("istio-system/gw", "istio-system/gw"),
        ("gw.istio-system.svc.cluster.local", "istio-system/gw"),
    ],
)
def test_every_way_to_name_a_gateway(name, full):
    assert full_gateway(name, "default") == full
