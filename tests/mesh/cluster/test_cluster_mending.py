"""Whether proxies send to what came in the place of a dead pod, read from answers as Envoy 1.40 gives them."""

import dataclasses
import json

from runner.mesh.cluster.endpoints import app_ports, hosts, leading_to, outdated
from runner.mesh.cluster.mending import replaced, short_of
from runner.mesh.cluster.pods import Pod, pod_of

RATINGS = "outbound|9080||ratings.shop.svc.cluster.local"
TYPES = {RATINGS: "EDS", "inbound|9080||": "ORIGINAL_DST"}
SERVICES = [
    ("shop", "ratings", {"selector": {"app": "ratings"}, "ports": [{"name": "http", "port": 9080}]}),
    ("shop", "front", {"selector": {"app": "front"}, "ports": [{"port": 80}]}),
    ("other", "ratings", {"selector": {"app": "ratings"}, "ports": [{"port": 9080}]}),
    ("shop", "outside", {"type": "ExternalName"}),
]


def pod(name="ratings-2", ip="10.0.0.2", **changes):
    known = Pod(
        name, "shop", "ratings-v1", {"app": "ratings"}, proxied=True, gateway=False, ready=True, restarts={"ratings": 0}, uid=name,
        ip=ip, node="n1", ports={"web": 9080},
    )  # fmt: skip
    return dataclasses.replace(known, **changes)


def clusters(*found):
    """An answer of `/clusters`: cluster, address, port and health of each host."""
    by_name = {}
    for name, address, port, health in found:
        place = {"socket_address": {"address": address, "port_value": port}}
        by_name.setdefault(name, []).append({"address": place, "health_status": health, "stats": []})
    statuses = [{"name": name, "added_via_api": True, "host_statuses": those} for name, those in by_name.items()]
    return hosts(json.dumps({"cluster_statuses": [*statuses, {"name": "empty"}]}))


GOOD = {"eds_health_status": "HEALTHY"}


def judged(held, *, came=(), gone=(), types=None, services=SERVICES, node="n1"):
    leads = [[(one, list(leading_to(one, services))) for one in pods] for pods in (came, gone)]
    return outdated(TYPES if types is None else types, held, node, *leads)


def test_a_proxy_that_has_the_new_pod_and_not_the_dead_one_is_up_to_date():
    new, old = pod(), pod("ratings-1", "10.0.0.1")
    both = clusters((RATINGS, new.ip, 9080, GOOD), (RATINGS, old.ip, 9080, GOOD))
    assert judged(clusters((RATINGS, new.ip, 9080, GOOD)), came=[new], gone=[old]) == ""
    assert judged(both, came=[new], gone=[old]) == "still sends to ratings-1, which is gone"
    assert judged(clusters(), came=[new], gone=[old]) == "does not send to ratings-2 yet"
    assert judged(clusters((RATINGS, new.ip, 8080, GOOD)), came=[new]) == "does not send to ratings-2 yet"


def test_a_subset_that_still_has_the_dead_pod_counts():
    subset = "outbound|9080|v1|ratings.shop.svc.cluster.local"
    held = clusters((RATINGS, "10.0.0.2", 9080, GOOD), (subset, "10.0.0.1", 9080, GOOD))
    assert judged(held, came=[pod()], gone=[pod("ratings-1", "10.0.0.1")]) == "still sends to ratings-1, which is gone"
    elsewhere = clusters(("outbound|80||front.shop.svc.cluster.local", "10.0.0.1", 80, GOOD))
    assert judged(elsewhere, gone=[pod("ratings-1", "10.0.0.1")]) == "", "the address may be another pod's by now"


def test_health_counts_as_envoy_sees_it():
    ejected = clusters((RATINGS, "10.0.0.2", 9080, {**GOOD, "failed_outlier_check": True}))
    assert judged(ejected, came=[pod()]) == "takes ratings-2 for unhealthy, by outlier detection or a health check"
    draining = clusters((RATINGS, "10.0.0.2", 9080, {"eds_health_status": "DRAINING"}))
    assert judged(draining, gone=[pod()]) == "", "nothing new is sent there"
    assert judged(draining, came=[pod()]) != ""


def test_a_proxy_that_knows_none_of_the_services_is_not_waited_for():
    assert judged(clusters(), came=[pod()], types={}) == "", "a Sidecar resource keeps the service from it"
    assert judged(clusters(), came=[pod()], types={RATINGS: "ORIGINAL_DST"}) == "", "a headless service"
    assert judged(clusters(), came=[pod(labels={"app": "alone"})]) == "", "no service leads to the pod"


def test_named_ports_and_node_local_services_are_understood():
    def service(**more):
        return [
            (
                "shop",
                "ratings",
                {"selector": {"app": "ratings"}, "ports": [{"port": 9080, "targetPort": "web"}], **more},
            )
        ]

    assert judged(clusters((RATINGS, "10.0.0.2", 9080, GOOD)), came=[pod()], services=service()) == ""
    assert judged(clusters(), came=[pod(ports={})], services=service()) == "", "no container has a port of that name"
    local = service(internalTrafficPolicy="Local")
    assert judged(clusters(), came=[pod()], services=local, node="n2") == ""
    assert judged(clusters(), came=[pod()], services=local, node="n1") != ""


def test_an_app_should_listen_where_services_lead():
    ports = [
        {"name": "http-web", "port": 80, "targetPort": "web"},
        {"port": 90, "targetPort": 9090, "appProtocol": "redis"},
        {"name": "dns", "port": 53, "protocol": "UDP"},
    ]
    services = [*SERVICES, ("shop", "more", {"selector": {"app": "ratings"}, "ports": ports})]
    found = {port.number: port.protocol for port in app_ports([pod()], services)}
    assert found == {9080: "http", 9090: "redis"}
    assert app_ports([pod(gateway=True)], services) == []


def test_who_came_who_went_and_who_is_missing():
    old, new, other = pod("ratings-1"), pod("ratings-2"), pod("client", workload="client")
    before = {one.proxy_id: one for one in (old, other)}
    assert replaced(before, {one.proxy_id: one for one in (new, other)}) == ([new], [old])
    again = dataclasses.replace(old, restarts={"ratings": 1})
    assert replaced(before, {again.proxy_id: again, other.proxy_id: other}) == ([again], [])
    named_alike = dataclasses.replace(old, uid="another")  # of a StatefulSet
    assert replaced(before, {old.proxy_id: named_alike, other.proxy_id: other}) == ([named_alike], [old])
    assert short_of([old, other], [new, other]) == ""
    starting = dataclasses.replace(new, ready=False)
    assert short_of([old, other], [starting, other]) == "0 of 1 pods of ratings-v1 are ready"


def test_a_pod_says_where_it_is_and_whether_its_app_is_probed():
    item = {
        "metadata": {"name": "a", "namespace": "shop"},
        "spec": {
            "containers": [{"name": "a"}, {"name": "istio-proxy", "readinessProbe": {"httpGet": {}}}],
            "initContainers": [],
        },
        "status": {"podIP": "10.0.0.7"},
    }
    assert (pod_of(item).ip, pod_of(item).probed) == ("10.0.0.7", False)
    item["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {}}
    assert pod_of(item).probed
