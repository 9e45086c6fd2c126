"""What the facts of a cluster mean: pure, so that every kind of cluster can be shown."""

from dataclasses import replace

import pytest

from runner.mesh.cluster.doctor_checks import check_cluster, check_server
from runner.mesh.cluster.doctor_facts import (
    ClusterFacts,
    ControlPlane,
    IstiodFacts,
    NamespaceFacts,
    ProxyFacts,
    Unknown,
)
from runner.mesh.cluster.doctor_proxies import bootstrap_of, series_of, writes_log
from runner.mesh.cluster.doctor_read import owner_targets, skew
from runner.mesh.cluster.permissions import PERMISSIONS, Denied, Scope
from runner.mesh.finding import Status
from tests.mesh.cluster.sample_cluster import GOOD, ISTIOD, REVIEWS, pod


def findings(check, **changes):
    return [item for item in check_cluster(replace(GOOD, **changes)) if item.check == check]


def only(check, **changes):
    found = findings(check, **changes)
    assert len(found) == 1, found
    return found[0]


def test_a_good_cluster_has_nothing_to_fix():
    found = check_cluster(GOOD)
    assert {item.status for item in found} == {Status.OK}
    assert {item.check for item in found} == {
        *("API server", "clock", "permissions", "Istio's CRDs", "Istio", "injection", "sidecars", "access logs")
    }


@pytest.mark.parametrize(
    ("version", "status"),
    [("v1.26.1", Status.PROBLEM), ("v1.27.0", Status.OK), ("v1.34.4-eks-1", Status.OK), ("main", Status.WARNING)],
)
def test_the_apiservers_age(version, status):
    assert check_server(replace(GOOD.server, version=version))[0].status is status


@pytest.mark.parametrize(
    ("between", "status", "words"),
    [
        ((-0.9, 0.1), Status.OK, "to the second"),
        ((4.6, 5.6), Status.WARNING, "5 s behind"),
        ((-31.0, -30.0), Status.WARNING, "30 s ahead of"),
        (None, Status.SKIPPED, "no Date"),
    ],
)
def test_clocks(between, status, words):
    found = check_server(replace(GOOD.server, skew=between))[1]
    assert found.status is status
    assert words in found.found


def test_a_date_header_bounds_the_skew_by_its_whole_second_and_the_way_there():
    assert skew("Tue, 24 Nov 2026 09:00:10 GMT", 1795510810.2, 1795510810.4) == pytest.approx((-0.4, 0.8))
    assert skew(None, 0, 0) is None
    assert skew("yesterday", 0, 0) is None


def test_a_missing_necessity_is_a_problem_and_a_missing_convenience_is_not():
    by_resource = {(item.scope, item.resource): item for item in PERMISSIONS}
    routes = by_resource[Scope.EXPERIMENT, "virtualservices"]
    logs = by_resource[Scope.EXPERIMENT, "pods/log"]
    canaries = by_resource[Scope.CLUSTER, "canaries"]
    found = findings("permissions", denied=(Denied(routes, ("update", "delete")), Denied(logs, ("get",))))
    assert [item.status for item in found] == [Status.PROBLEM, Status.WARNING]
    assert "update, delete virtualservices.networking.istio.io" in found[0].found
    assert "deploy/kustomize/base" in found[0].fix
    assert "no access logs" in found[1].found
    found = findings("permissions", denied=(Denied(canaries, ("list",)),))
    assert [item.status for item in found] == [Status.OK, Status.SKIPPED]
    assert "cluster-reader" in found[1].fix


def test_crds():
    found = only("Istio's CRDs", kinds={**GOOD.kinds, "Gateway": None})
    assert found.status is Status.PROBLEM
    assert "Gateway" in found.found
    old = {**GOOD.kinds, "Gateway": "networking.istio.io/v1alpha3"}
    assert only("Istio's CRDs", kinds=old).status is Status.WARNING


@pytest.mark.parametrize(
    ("control", "status", "words"),
    [
        (ControlPlane(()), Status.PROBLEM, "no istiod"),
        (ControlPlane((replace(ISTIOD, ready=False),)), Status.PROBLEM, "not ready"),
        (ControlPlane((ISTIOD,), None, "istiod does not answer"), Status.WARNING, "does not answer"),
        (
            ControlPlane((ISTIOD, replace(ISTIOD, name="istiod-2", revision="canary", version="1.32.0"))),
            Status.OK,
            "two revisions",
        ),
        (Unknown("pods is forbidden"), Status.SKIPPED, "forbidden"),
    ],
)
def test_the_control_plane(control, status, words):
    found = only("Istio", control=control)
    assert found.status is status
    assert words in found.found


@pytest.mark.parametrize(
    ("labels", "tags", "status", "words"),
    [
        ({"istio-injection": "disabled"}, {"default"}, Status.PROBLEM, "=disabled"),
        ({"istio.io/rev": "canary"}, {"default", "canary"}, Status.OK, "istio.io/rev=canary"),
        ({"istio.io/rev": "canary"}, {"default"}, Status.PROBLEM, "no revision or tag canary"),
        ({"istio.io/rev": "canary"}, None, Status.OK, "istio.io/rev=canary"),
        ({"istio-injection": "enabled"}, {"1-31"}, Status.PROBLEM, "no revision or tag default: 1-31"),
        ({"istio-injection": "enabled", "istio.io/rev": "x"}, {"default"}, Status.OK, "ignored beside it"),
        ({}, {"default"}, Status.OK, "pods with sidecars all the same"),
    ],
)
def test_injection(labels, tags, status, words):
    control = replace(GOOD.control, tags=None if tags is None else frozenset(tags))
    found = only("injection", namespace=NamespaceFacts("shop", labels), control=control)
    assert found.status is status
    assert words in found.found


def test_a_namespace_without_label_and_sidecars():
    bare = pod(proxied=False)
    found = only("injection", namespace=NamespaceFacts("shop"), pods=(bare,), proxies=())
    assert found.status is Status.PROBLEM
    assert "istio-injection=enabled" in found.fix
    empty = only("injection", namespace=NamespaceFacts("shop"), pods=(), proxies=())
    assert empty.status is Status.WARNING


@pytest.mark.parametrize(
    ("space", "pods"),
    [
        (NamespaceFacts("shop", {"istio.io/dataplane-mode": "ambient"}), ()),
        (NamespaceFacts("shop"), (pod(proxied=False, annotations={"ambient.istio.io/redirection": "enabled"}),)),
    ],
)
def test_ambient_is_refused_with_a_sentence(space, pods):
    found = only("namespace", namespace=space, pods=pods, proxies=())
    assert found.status is Status.PROBLEM
    assert "ambient mode" in found.found
    assert not findings("sidecars", namespace=space, pods=pods, proxies=())


def test_a_namespace_that_goes():
    assert "being deleted" in only("namespace", namespace=NamespaceFacts("shop", {}, terminating=True)).found


def test_workloads_without_a_sidecar_and_those_that_want_none():
    bare = pod("cron-1", proxied=False)
    opted_out = pod("batch-1", proxied=False, labels={"sidecar.istio.io/inject": "false"})
    found = only("sidecars", pods=(REVIEWS, bare, opted_out))
    assert found.status is Status.WARNING
    assert "cron-1" in found.found
    assert "batch-1" not in found.found


def test_a_pod_that_is_not_ready():
    found = only("pods", pods=(REVIEWS, pod("reviews-v2-x", ready=False)))
    assert found.status is Status.PROBLEM
    assert "reviews-v2-x" in found.found


@pytest.mark.parametrize(
    ("version", "status"),
    [("1.31.0-distroless", Status.OK), ("1.30.2", Status.WARNING), ("1.28.9", Status.PROBLEM)],
)
def test_sidecars_of_another_version(version, status):
    found = only("sidecars", proxies=(ProxyFacts(REVIEWS, version, None, logs=True),))
    assert found.status is status
    if status is not Status.OK:
        assert "rollout restart deployment reviews-v1-abc" in found.fix


def test_each_revisions_sidecars_are_held_against_their_own_istiod():
    control = replace(GOOD.control, istiods=(ISTIOD, IstiodFacts("istiod-2", "canary", ready=True, version="1.32.0")))
    canary = pod("reviews-v2-x", revision="canary")
    proxies = (GOOD.proxies[0], ProxyFacts(canary, "1.32.0", None, logs=True))
    connected = frozenset({REVIEWS.proxy_id, canary.proxy_id})
    found = only("sidecars", control=replace(control, connected=connected), pods=(REVIEWS, canary), proxies=proxies)
    assert found.status is Status.OK


def test_a_sidecar_that_istiod_does_not_know():
    found = only("sidecars", control=replace(GOOD.control, connected=frozenset()))
    assert found.status is Status.PROBLEM
    assert "not connected" in found.found


def test_access_logs():
    found = only("access logs", proxies=(replace(GOOD.proxies[0], logs=False),))
    assert found.status is Status.WARNING
    assert "no sidecar writes them" in found.found
    assert "Telemetry" in found.fix


def test_every_finding_that_asks_for_something_says_what_to_do():
    bad = ClusterFacts(
        server=replace(GOOD.server, version="v1.20.0", skew=(90.0, 91.0)),
        namespace=NamespaceFacts("shop", {}, terminating=True),
        denied=tuple(Denied(item, item.verbs) for item in PERMISSIONS),
        kinds={},
        control=ControlPlane(()),
        pods=(pod(ready=False),),
        silent={"reviews": "no answer"},
    )
    for item in check_cluster(bad):
        assert item.status in {Status.OK, Status.SKIPPED} or item.fix, item


def test_what_drives_what_of_flagger_and_argo():
    canary = {
        "metadata": {"name": "reviews"},
        "spec": {"targetRef": {"name": "reviews-v3"}, "service": {"name": "reviews"}},
    }
    assert owner_targets(canary) == {"reviews", "reviews-v3"}
    istio = {"virtualService": {"name": "shop"}, "destinationRule": {"name": "shop-subsets"}}
    strategy = {"canary": {"stableService": "stable", "trafficRouting": {"istio": istio}}}
    rollout = {"metadata": {"name": "checkout"}, "spec": {"strategy": strategy}}
    assert owner_targets(rollout) == {"checkout", "shop", "shop-subsets", "stable"}


def test_a_proxys_own_words():
    bootstrap = bootstrap_of('{"configs": [{"bootstrap": {"node": {"metadata": {"ISTIO_VERSION": "1.31.0"}}}}]}')
    assert bootstrap["node"]["metadata"]["ISTIO_VERSION"] == "1.31.0"
    listener = """{"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump", "dynamic_listeners":
      [{"name": "virtualInbound", "active_state": {"listener": {"filter_chains": [{"filters": [
        {"name": "envoy.filters.network.http_connection_manager", "typed_config": {"access_log": [
          {"name": "envoy.access_loggers.file", "typed_config": {"path": "PATH"}}]}}]}]}}}]}]}"""
    assert writes_log(listener.replace("PATH", "/dev/stdout"))
    assert not writes_log(listener.replace("PATH", "/tmp/log"))  # noqa: S108 - a path in a proxy's config
    with pytest.raises(ValueError, match="Expecting value"):
        bootstrap_of("FieldMask could not be applied")


def test_prometheus_counts_series():
    assert series_of('{"data": {"result": [{"value": [1.5, "42"]}]}}') == 42
    assert series_of('{"data": {"result": []}}') == 0
