"""VirtualServices of others for a host of ours, as sidecars of 1.31 were seen to take them."""

import pytest

from runner.errors import Problem
from runner.istio.load import parse_manifests
from runner.mesh.cluster.held import Held
from runner.mesh.cluster.same_hosts import hidden_by_export, same_hosts

TEXT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: NAME, namespace: SPACE}
spec:
  hosts: ["HOST"]MORE
  http: [{route: [{destination: {host: ratings.shop.svc.cluster.local}}]}]
"""
HOST, WILD = "ratings.shop.svc.cluster.local", "*.shop.svc.cluster.local"


def service(host, name="mine", space="shop", more=""):
    text = TEXT.replace("NAME", name).replace("SPACE", space).replace("HOST", host)
    text = text.replace("MORE", f"\n  {more}" if more else "")
    return parse_manifests(text, "a.yaml", namespace=space, embedded=False)[0]


def found(mine, host, *, times=None, **more):
    theirs = service(host, "theirs", "other", **more)
    held = Held(theirs, "1", "u", 1, "kubectl at noon", "2026-11-24T10:00:00Z")
    return list(same_hosts([mine], [held], times or {}, "shop"))


@pytest.mark.parametrize("more", ["", 'exportTo: ["*"]', "exportTo: [shop]", "exportTo: [another, shop]"])
def test_an_older_one_for_the_very_host_is_a_problem(more):
    (problem,) = found(service("ratings"), HOST, more=more)
    assert isinstance(problem, Problem)
    assert str(problem).startswith(
        "a.yaml:6:11: the cluster already has VirtualService other/theirs for the host ratings, last written by kubectl at noon: "
    )
    assert "Limit that one by exportTo" in str(problem)


@pytest.mark.parametrize("more", ["exportTo: [.]", "exportTo: [another]", "gateways: [door]"])
def test_one_that_our_sidecars_do_not_get_is_none(more):
    assert found(service("ratings"), HOST, more=more.replace("[.]", '["."]')) == []


def test_of_two_the_older_counts():
    mine = service("ratings")
    assert found(mine, HOST, times={mine.key: "2026-11-24T09:00:00Z"}) == []
    assert len(found(mine, HOST, times={mine.key: "2026-11-24T11:00:00Z"})) == 1


def test_the_more_particular_host_counts_before_that():
    assert found(service("ratings"), WILD) == []
    (warning,) = found(service(WILD), HOST)
    assert warning.startswith(
        f"VirtualService other/theirs has {HOST}, last written by kubectl at noon: Istio takes the one with"
    )


RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: rule}
spec: {host: ratings, exportTo: EXPORT}
"""


@pytest.mark.parametrize(
    ("export", "told"),
    [("[other]", True), ('["~"]', True), ("[other, shop]", False), ('["."]', False), ('["*"]', False), ("[]", False)],
)
def test_ours_that_no_sidecar_gets_are_problems(export, told):
    rule = parse_manifests(RULE.replace("EXPORT", export), "a.yaml", namespace="shop", embedded=False)[0]
    route, door = (
        service("ratings", more=f"exportTo: {export}"),
        service("ratings", more=f"exportTo: {export}\n  gateways: [door]"),
    )
    problems = list(hidden_by_export([rule, route, door], "shop"))
    assert len(problems) == (2 if told else 0)
    assert all("its exportTo leaves shop out" in str(problem) for problem in problems)
