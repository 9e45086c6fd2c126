"""What a cluster's facts mean for one experiment: conflicts, owners, stats that are not kept."""

import json
import shlex
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runner.istio.load import parse_manifests
from runner.mesh.cluster.doctor_demands import check_demands
from runner.mesh.cluster.doctor_facts import (
    Owner,
    Pattern,
    PrometheusFacts,
    ProxyFacts,
    Refusal,
    ServiceFacts,
    ServicePort,
    Unknown,
)
from runner.mesh.cluster.doctor_stats import annotate
from runner.mesh.cluster.permissions import PERMISSIONS, Denied
from runner.mesh.cluster.stat_names import candidates, is_kept, patterns_of, wanted_prefix
from runner.mesh.finding import Demands, StatDemand, Status
from runner.spec.load_profile import GATEWAY
from tests.mesh.cluster.sample_cluster import GOOD, pod

ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: NAME, namespace: SPACE}
spec:
  hosts: [HOST]
  EXTRA
  http: [{route: [{destination: {host: reviews}}]}]
"""
RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: NAME, namespace: shop}
spec:
  host: reviews
  EXTRA
"""
ISTIO_DEFAULTS = (
    Pattern("prefix", "reporter="),
    *(
        Pattern("prefix", text)
        for text in ("cluster_manager", "listener_manager", "server", "cluster.xds-grpc", "wasm")
    ),
    *(Pattern("suffix", text) for text in ("rbac.allowed", "rbac.denied", "shadow_allowed", "downstream_cx_active")),
    Pattern("safe_regex", r"vhost\..*\.route\..*"),
    Pattern("prefix", "component"),
    Pattern("prefix", "istio"),
)
"""What pilot-agent has Envoy keep when no annotation asks for more (Istio 1.31's pkg/bootstrap)."""


def route(name="reviews", space="shop", host="reviews", extra=""):
    text = (
        ROUTE.replace("NAME", name)
        .replace("SPACE", space)
        .replace("HOST", host)
        .replace("EXTRA", extra or "gateways: [mesh]")
    )
    return parse_manifests(text, "routes.yaml")[0]


def rule(name="reviews", extra="subsets: [{name: v1}]"):
    return parse_manifests(RULE.replace("NAME", name).replace("EXTRA", extra), "rules.yaml")[0]


MINE = Demands("timeout", resources=(route(),), sources=frozenset({GATEWAY}))


@pytest.fixture
def facts():
    service = ServiceFacts("reviews", {"app": "reviews"}, (ServicePort("reviews", "http", 9080),))
    return replace(GOOD, services=(service,), gateways={"timeout": 1}, refused={"timeout": ()})


def found(facts, check, demands=MINE):
    return [item for item in check_demands(facts, demands, "shop") if item.check == check]


def test_nothing_in_the_way(facts):
    assert {item.status for item in check_demands(facts, MINE, "shop")} == {Status.OK}


def test_another_virtual_service_of_the_host_here_would_win(facts):
    item = found(replace(facts, here=(route("legacy"),)), "VirtualServices")[0]
    assert item.status is Status.PROBLEM
    assert "VirtualService shop/legacy configures reviews.shop.svc.cluster.local too" in item.found
    assert "the name legacy" in item.fix


def test_the_same_name_is_no_conflict_because_a_run_replaces_it(facts):
    assert not found(replace(facts, here=(route(),)), "VirtualServices")


@pytest.mark.parametrize(
    ("extra", "conflict"),
    [
        ({"gateways": ["mesh"]}, True),
        ({"exportTo": ["*"]}, True),
        ({"exportTo": ["shop"]}, True),
        ({"exportTo": ["."]}, False),
        ({"exportTo": ["other"]}, False),
        ({"gateways": ["ingress"]}, False),
    ],
)
def test_one_in_another_namespace_counts_where_it_is_seen(facts, extra, conflict):
    theirs = route("legacy", "team-b", "reviews.shop.svc.cluster.local")
    theirs.body["spec"].update(extra)  # what others use may be more than this program's models know
    items = found(replace(facts, elsewhere=(theirs,)), "VirtualServices")
    assert [item.status for item in items] == ([Status.PROBLEM] if conflict else [])


def test_at_a_gateway_two_are_merged(facts):
    demands = replace(MINE, resources=(route("mine", host="shop.example.com", extra="gateways: [ingress]"),))
    theirs = route("theirs", host="'*.example.com'", extra="gateways: [shop/ingress]")
    items = found(replace(facts, here=(theirs,)), "VirtualServices", demands)
    assert [item.status for item in items] == [Status.WARNING]
    assert "shop/ingress" in items[0].found


def test_a_virtual_service_with_fields_that_models_lack_is_seen_all_the_same(facts):
    text = ROUTE.replace("NAME", "tls").replace("SPACE", "shop").replace("HOST", "reviews").replace("  EXTRA\n", "")
    theirs = parse_manifests(text, "tls.yaml")[0]
    theirs.body["spec"]["tls"] = [{"match": [{"port": 443, "sniHosts": ["reviews"]}]}]
    assert found(replace(facts, here=(theirs,)), "VirtualServices")[0].status is Status.PROBLEM


def test_what_can_not_be_listed_is_said(facts):
    item = found(replace(facts, elsewhere=Unknown("forbidden")), "VirtualServices")[0]
    assert item.status is Status.SKIPPED
    assert "cluster-reader" in item.fix


@pytest.mark.parametrize(
    ("mine", "theirs", "status"),
    [
        ("subsets: [{name: v1}]", "subsets: [{name: v1}, {name: v2}]", Status.PROBLEM),
        ("subsets: [{name: v1}]", "subsets: [{name: v2}]", Status.WARNING),
        (
            "trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}",
            "trafficPolicy: {outlierDetection: {interval: 1s}}",
            Status.PROBLEM,
        ),
    ],
)
def test_destination_rules_of_one_host(facts, mine, theirs, status):
    demands = replace(MINE, resources=(rule("mine", mine),))
    items = found(replace(facts, here=(rule("theirs", theirs),)), "DestinationRules", demands)
    assert [item.status for item in items] == [status]


def test_a_canary_that_drives_the_service(facts):
    owner = Owner("Canary shop/reviews", "shop", frozenset({"reviews", "reviews-primary"}))
    item = found(replace(facts, owners=(owner,)), "owners")[0]
    assert item.status is Status.PROBLEM
    assert "Canary shop/reviews drives reviews" in item.found
    assert not found(replace(facts, owners=(replace(owner, namespace="other"),)), "owners")


def test_what_a_controller_or_a_gitops_tool_keeps(facts):
    owned, synced = route(), route()
    owned.body["metadata"]["ownerReferences"] = [{"kind": "Canary", "name": "reviews"}]
    synced.body["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": "shop:..."}
    assert found(replace(facts, here=(owned,)), "owners")[0].status is Status.PROBLEM
    item = found(replace(facts, here=(synced,)), "owners")[0]
    assert item.status is Status.WARNING
    assert "Argo CD" in item.found


def test_a_port_without_a_protocol(facts):
    unnamed = ServiceFacts("reviews", {"app": "reviews"}, (ServicePort("reviews", "web", 9080),))
    assert found(replace(facts, services=(unnamed,)), "services")[0].status is Status.WARNING
    declared = ServiceFacts("reviews", {}, (ServicePort("reviews", "web", 9080, "kubernetes.io/h2c"),))
    assert not found(replace(facts, services=(declared,)), "services")


def test_the_way_in(facts):
    assert found(replace(facts, gateways={"timeout": 0}), "gateway")[0].status is Status.PROBLEM
    inside = replace(MINE, sources=frozenset({"client"}))
    assert found(facts, "client", inside)[0].status is Status.WARNING


def test_a_resource_that_the_api_server_would_refuse(facts):
    refusal = Refusal(route(), 'strict decoding error: unknown field "spec.http[0].surprise"')
    item = found(replace(facts, refused={"timeout": (refusal,)}), "dry run")[0]
    assert item.status is Status.PROBLEM
    assert "routes.yaml:" in item.found
    assert "too old" in item.fix


def stats(facts, stat, kept, *, is_regex=False):
    demand = StatDemand("proxy[reviews x] > 0", "reviews", stat, is_regex)
    proxies = tuple(ProxyFacts(proxy.pod, "1.31.0", kept, logs=True) for proxy in facts.proxies)
    return found(replace(facts, proxies=proxies), "proxy stats", replace(MINE, stats=(demand,)))[0]


def test_a_circuit_breaker_counter_is_not_kept_by_default_and_the_annotation_is_given(facts):
    item = stats(facts, "upstream_rq_pending_overflow", ISTIO_DEFAULTS)
    assert item.status is Status.PROBLEM
    assert "the sidecar of reviews-v1-abc does not keep" in item.found
    assert "kubectl -n shop patch deployment reviews-v1-abc" in item.fix
    assert "proxyStatsMatcher" in item.fix
    assert "cluster.outbound" in item.fix


def test_with_the_annotation_it_is_kept(facts):
    kept = (*ISTIO_DEFAULTS, Pattern("prefix", "cluster.outbound"))
    assert stats(facts, "upstream_rq_pending_overflow", kept).status is Status.OK
    assert stats(facts, "upstream_rq_pending_overflow", None).status is Status.OK


def test_a_counter_of_another_family_and_a_pattern_are_not_guessed_at(facts):
    assert stats(facts, "something.of.my.own", ISTIO_DEFAULTS).status is Status.OK
    assert stats(facts, ".*overflow", ISTIO_DEFAULTS, is_regex=True).status is Status.OK


@pytest.mark.parametrize(
    ("stat", "names"),
    [
        (
            "outlier_detection.ejections_active",
            ["cluster.outbound|9080||reviews.shop.svc.cluster.local;.outlier_detection.ejections_active"],
        ),
        ("fault.aborts_injected", ["http.outbound_0.0.0.0_9080;.fault.aborts_injected"]),
        ("cluster.xds-grpc.upstream_rq_total", ["cluster.xds-grpc.upstream_rq_total"]),
        ("rq_of_nobody_knows", ["http.outbound_0.0.0.0_9080;.rq_of_nobody_knows"]),
        ("mine", []),
    ],
)
def test_full_names(stat, names):
    assert candidates(stat, [ServicePort("reviews", "http", 9080)], "shop") == names


@given(
    st.sampled_from(["prefix", "suffix", "contains", "exact", "safe_regex"]),
    st.from_regex(r"[a-z_.]{1,20}", fullmatch=True),
)
def test_a_pattern_keeps_its_own_text(how, text):
    assert is_kept(text, (Pattern(how, text),))
    assert not is_kept(text + "|", (Pattern("exact", text),))


def test_the_list_in_a_bootstrap():
    items = [{"prefix": "istio"}, {"safe_regex": {"regex": "vhost.*"}}]
    bootstrap = {"stats_config": {"stats_matcher": {"inclusion_list": {"patterns": items}}}}
    assert patterns_of(bootstrap) == (Pattern("prefix", "istio"), Pattern("safe_regex", "vhost.*"))
    assert patterns_of({"stats_config": {}}) is None
    assert wanted_prefix("http.outbound_0.0.0.0_9080;.fault.x") == "http.outbound"


def test_promql_needs_a_prometheus(facts):
    demands = replace(MINE, promql=("rate",))
    assert found(facts, "Prometheus", demands)[0].status is Status.PROBLEM
    assert "MESHTRIAL_PROMETHEUS" in found(facts, "Prometheus", demands)[0].fix
    there = replace(facts, prometheus=PrometheusFacts("istio-system/prometheus-1:9090", 0))
    assert found(there, "Prometheus", demands)[0].status is Status.WARNING
    assert found(replace(there, prometheus=PrometheusFacts("x", 12)), "Prometheus", demands)[0].status is Status.OK
    assert not found(facts, "Prometheus")


def test_a_fault_that_no_counter_would_show(facts):
    demands = replace(MINE, faults=("fault.delays_injected",))
    few = tuple(ProxyFacts(proxy.pod, "1.31.0", ISTIO_DEFAULTS, logs=True) for proxy in facts.proxies)
    item = found(replace(facts, proxies=few), "fault stats", demands)[0]
    assert item.status is Status.PROBLEM
    assert "no sidecar keeps fault.delays_injected" in item.found
    assert "http.outbound" in item.fix
    other = ProxyFacts(pod("client-1"), "1.31.0", None, logs=True)
    item = found(replace(facts, proxies=(*few, other)), "fault stats", demands)[0]
    assert item.status is Status.WARNING
    assert "reviews-v1-abc" in item.found
    assert not found(facts, "fault stats", demands)


def test_the_advised_patch_keeps_what_the_annotation_said_before(facts):
    mine = pod(
        "shy", annotations={"proxy.istio.io/config": "concurrency: 4\nproxyStatsMatcher: {inclusionPrefixes: [mine]}"}
    )
    other = pod("plain")
    proxies = tuple(ProxyFacts(item, "1.31.0", ISTIO_DEFAULTS, logs=True) for item in (mine, other, pod("another")))
    fix = annotate(replace(facts, proxies=proxies), "shop", ["another", "plain", "shy"], ())
    first, second = fix.split("; done; ")
    assert first.startswith("for name in another plain; do kubectl -n shop patch deployment $name -p '")
    words = shlex.split(second)
    assert words[:5] == ["kubectl", "-n", "shop", "patch", "deployment"]
    annotations = json.loads(words[-1])["spec"]["template"]["metadata"]["annotations"]
    config = yaml.safe_load(annotations["proxy.istio.io/config"])
    assert config == {
        "concurrency": 4,
        "proxyStatsMatcher": {"inclusionPrefixes": ["cluster.outbound", "http.outbound", "mine"]},
    }


def test_a_full_stat_name_of_another_namespace(facts):
    full = "cluster.outbound|9080|v1|reviews.default.svc.cluster.local;.upstream_rq_pending_overflow"
    demands = replace(MINE, stats=(StatDemand("proxy[reviews x] > 0", "reviews", full),))
    item = found(facts, "proxy stats", demands)[0]
    assert item.status is Status.WARNING
    assert "of the namespace default, and the run is in shop" in item.found
    mine = replace(demands, stats=(replace(demands.stats[0], stat=full.replace(".default.", ".shop.")),))
    assert [item.status for item in found(facts, "proxy stats", mine)] == [Status.OK]


def test_locust_in_pods_needs_an_image_and_the_right_to_have_jobs(facts):
    asks = replace(MINE, generator_pods=2)
    (item,) = found(facts, "generators", asks)
    assert item.status is Status.PROBLEM
    assert "not known which image" in item.found
    asks = replace(asks, generator_image="i:1")
    assert not found(facts, "generators", asks)
    jobs = next(one for one in PERMISSIONS if one.resource == "jobs")
    denied = replace(facts, denied=(Denied(jobs, ("create",)),))
    (item,) = found(denied, "generators", asks)
    assert item.found == "Locust's workers need the right to create jobs"
    assert "components/load" in item.fix
    assert not found(denied, "generators")
