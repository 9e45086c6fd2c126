"""Whole proxies: listeners, virtual hosts, gateways, names, bootstrap."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runner.errors import InputError
from runner.istio.load import parse_manifests
from runner.mesh.local.translate import ProxyPaths, bootstrap, check_supported, translate

HOST = "reviews.default.svc.cluster.local"
PATHS = ProxyPaths(Path("/run/mesh/client"))
TO = "{destination: {host: reviews, port: {number: 9080}}}"

OTHERS = """
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: reviews}, ports: [{port: 80, name: http, targetPort: 9080}]}
"""


@pytest.fixture
def proxy(topology, registry):
    def make(text: str = "", pod: str = "client"):
        made = registry(text)
        resources = [
            *(service.resource for service in made.services.values()),
            *(item.resource for item in (*made.destination_rules, *made.virtual_services, *made.gateways)),
        ]
        return translate(topology, resources, topology.pod(pod), PATHS)

    return make


def manager(listener):
    return listener.config["filter_chains"][0]["filters"][0]["typed_config"]


def virtual_hosts(config, name):
    route = next(route for route in config.routes if route.name == name)
    return {host["name"]: host for host in route.config["virtual_hosts"]}


def test_a_sidecar_listens_on_service_ports_and_as_http_proxy(proxy):
    config = proxy()
    places = {
        listener.name: tuple(listener.config["address"]["socket_address"].values()) for listener in config.listeners
    }
    assert places == {"0.0.0.0_9080": ("127.0.9.80", 9080), "127.0.0.1_15002": ("127.0.9.80", 15002)}
    assert [manager(listener)["stat_prefix"] for listener in config.listeners] == [
        "outbound_0.0.0.0_9080;",
        "outbound_127.0.0.1_15002;",
    ]
    assert [route.name for route in config.routes] == ["9080", "http_proxy"]
    source = manager(config.listeners[0])["rds"]["config_source"]["path_config_source"]
    assert source == {"path": "/run/mesh/client/rds/9080.json"}


def test_an_app_has_an_inbound_listener(proxy):
    config = proxy(pod="reviews-v1")
    inbound = config.listeners[0]
    assert inbound.config["address"] == {"socket_address": {"address": "127.0.9.12", "port_value": 9080}}
    assert manager(inbound)["stat_prefix"] == "inbound_0.0.0.0_9080;"
    assert manager(inbound)["server_name"] == "istio-envoy"
    route = manager(inbound)["route_config"]
    assert (route["name"], route["virtual_hosts"][0]["name"]) == ("inbound|9080||", "inbound|http|9080")
    assert route["virtual_hosts"][0]["routes"][0]["name"] == "default"
    assert route["virtual_hosts"][0]["routes"][0]["route"]["retry_policy"] == {
        "num_retries": 2,
        "retry_on": "reset-before-request",
    }


def test_low_service_ports_need_no_root(proxy):
    listeners = {listener.name: listener for listener in proxy(OTHERS).listeners}
    assert listeners["0.0.0.0_80"].config["address"]["socket_address"]["port_value"] == 8080


def test_virtual_hosts_of_a_port(proxy):
    hosts = virtual_hosts(proxy(), "9080")
    assert list(hosts) == [
        "productpage.default.svc.cluster.local:9080",
        f"{HOST}:9080",
        "block_all",
    ]
    assert hosts[f"{HOST}:9080"]["domains"] == [HOST, f"{HOST}.", "reviews", "reviews.default", "reviews.default.svc"]
    assert hosts[f"{HOST}:9080"]["routes"][0]["name"] == "default"
    assert hosts["block_all"]["routes"][0]["direct_response"] == {"status": 502}


def test_the_http_proxy_wants_the_port_unless_it_is_80(proxy):
    config = proxy(OTHERS)
    hosts = virtual_hosts(config, "http_proxy")
    assert hosts[f"{HOST}:9080"]["domains"][2] == "reviews:9080"
    assert not [domain for domain in hosts[f"{HOST}:9080"]["domains"] if ":" not in domain]
    assert {"web", "web:80"} <= set(hosts["web.default.svc.cluster.local:80"]["domains"])
    assert config.routes[-1].config["ignore_port_in_host_matching"] is False


def test_a_virtual_service_takes_its_services_place(proxy, manifests):
    config = proxy(manifests.subsets + manifests.virtual_service(f"[{{name: mine, route: [{TO}]}}]"))
    hosts = virtual_hosts(config, "9080")
    assert hosts[f"{HOST}:9080"]["routes"][0]["name"] == "mine"
    route = next(route for route in config.routes if route.name == "9080")
    assert {str(source.key) for source in route.sources} >= {
        "VirtualService default/reviews",
        "DestinationRule default/reviews",
        "Service default/reviews",
    }


def test_a_virtual_service_for_other_sources_leaves_the_default(proxy, manifests):
    text = manifests.virtual_service(f"[{{match: [{{sourceLabels: {{app: other}}}}], route: [{TO}]}}]")
    assert virtual_hosts(proxy(text), "9080")[f"{HOST}:9080"]["routes"][0]["name"] == "default"


def test_a_virtual_service_for_gateways_only_is_not_for_sidecars(proxy, manifests):
    text = manifests.virtual_service(f"[{{name: mine, route: [{TO}]}}]", gateways="[bookinfo-gateway]")
    assert virtual_hosts(proxy(text), "9080")[f"{HOST}:9080"]["routes"][0]["name"] == "default"


def test_the_older_virtual_service_keeps_the_host(proxy, manifests):
    older = manifests.virtual_service(f"[{{name: older, route: [{TO}]}}]")
    newer = manifests.virtual_service(f"[{{name: newer, route: [{TO}]}}]").replace(
        "{name: reviews}\n", "{name: newer}\n"
    )
    assert virtual_hosts(proxy(older + newer), "9080")[f"{HOST}:9080"]["routes"][0]["name"] == "older"


def test_wildcards_give_way_to_closer_hosts(proxy, manifests):
    wide = manifests.virtual_service(
        f"[{{name: wide, route: [{TO}]}}]", hosts="['*.default.svc.cluster.local']"
    ).replace("{name: reviews}\n", "{name: wide}\n")
    exact = manifests.virtual_service(f"[{{name: exact, route: [{TO}]}}]")
    hosts = virtual_hosts(proxy(wide + exact), "9080")
    assert hosts[f"{HOST}:9080"]["routes"][0]["name"] == "exact"
    assert hosts["productpage.default.svc.cluster.local:9080"]["routes"][0]["name"] == "wide"


def test_hosts_that_are_no_service_are_served_beside_it(proxy, manifests):
    text = manifests.virtual_service(f"[{{name: mine, route: [{TO}]}}]", hosts="[reviews, Reviews.Example.com]")
    hosts = virtual_hosts(proxy(text), "9080")
    assert hosts["reviews.example.com:9080"]["domains"] == ["reviews.example.com"]
    alone = manifests.virtual_service(f"[{{name: mine, route: [{TO}]}}]", hosts="[reviews.example.com]")
    assert "reviews.example.com:9080" not in virtual_hosts(proxy(alone), "9080")
    proxied = virtual_hosts(proxy(alone), "http_proxy")
    assert proxied["reviews.example.com:80"]["domains"] == ["reviews.example.com", "reviews.example.com:80"]


def test_export_to_keeps_a_virtual_service_at_home(proxy, manifests):
    text = manifests.virtual_service(f"[{{name: mine, route: [{TO}]}}]", hosts=f"[{HOST}]").replace(
        "{name: reviews}\nspec:", "{name: reviews, namespace: other}\nspec:\n  exportTo: ['.']"
    )
    assert virtual_hosts(proxy(text), "9080")[f"{HOST}:9080"]["routes"][0]["name"] == "default"


def bound(manifests, name="bookinfo", **other):
    made = manifests.virtual_service(
        f"[{{name: {name}, match: [{{uri: {{exact: /{name}}}}}], route: [{TO}]}},"
        f" {{name: {name}-rest, route: [{TO}]}}]",
        **{"hosts": "['*']", "gateways": "[bookinfo-gateway]", **other},
    )
    return made.replace("{name: reviews}\n", f"{{name: {name}}}\n")


def test_a_gateway_serves_80_at_8080(proxy, manifests):
    config = proxy(manifests.gateway + bound(manifests), "gateway")
    assert [listener.name for listener in config.listeners] == ["0.0.0.0_8080"]
    assert config.listeners[0].config["address"]["socket_address"] == {"address": "127.0.9.9", "port_value": 8080}
    assert manager(config.listeners[0])["use_remote_address"] is True
    assert manager(config.listeners[0])["stat_prefix"] == "outbound_0.0.0.0_8080;"
    assert [route.name for route in config.routes] == ["http.8080"]
    assert virtual_hosts(config, "http.8080")["*:80"]["domains"] == ["*"]


def test_gateways_on_one_port_share_it(proxy, manifests):
    second = manifests.gateway.replace("bookinfo-gateway", "second").replace("number: 80,", "number: 8080,")
    text = manifests.gateway + second + bound(manifests) + bound(manifests, "other", gateways="[second]")
    config = proxy(text, "gateway")
    assert [listener.name for listener in config.listeners] == ["0.0.0.0_8080"]
    routes = virtual_hosts(config, "http.8080")["*:80"]["routes"]
    # Routes that take everything come last, as istiod sorts them.
    assert [route["name"] for route in routes] == ["bookinfo", "other", "bookinfo-rest", "other-rest"]


@pytest.mark.parametrize(
    ("served", "hosts", "domains"),
    [
        ("['*']", "[a.example.com]", ["a.example.com"]),
        ("['*.example.com']", "[a.example.com, b.example.org]", ["a.example.com"]),
        ("[a.example.com, b.example.com]", "['*.example.com']", ["a.example.com", "b.example.com"]),
        ("[default/*]", "[a.example.com]", ["a.example.com"]),
        ("[./*]", "[a.example.com]", ["a.example.com"]),
        ("[other/*]", "[a.example.com]", ["*"]),
        ("[b.example.com]", "[a.example.com]", ["*"]),
    ],
)
def test_hosts_that_gateway_and_virtual_service_share(proxy, manifests, served, hosts, domains):
    config = proxy(manifests.gateway.replace('["*"]', served) + bound(manifests, hosts=hosts), "gateway")
    found = virtual_hosts(config, "http.8080").values()
    assert [domain for host in found for domain in host["domains"]] == domains


def test_another_selector_is_another_gateway(proxy, manifests):
    assert proxy(manifests.gateway.replace("ingressgateway", "egressgateway"), "gateway").listeners == ()


def test_https_redirect(proxy, manifests):
    text = manifests.gateway.replace("hosts:", "tls: {httpsRedirect: true}, hosts:") + bound(manifests)
    assert virtual_hosts(proxy(text, "gateway"), "http.8080")["*:80"]["require_tls"] == "ALL"


GRPC_WEB = """
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
spec:
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
  - {port: {number: 81, name: grpc, protocol: GRPC-WEB}, hosts: ["*"]}
"""

PASSTHROUGH = """
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: r}
spec:
  host: reviews
  subsets:
  - name: v1
    trafficPolicy:
      loadBalancer: {simple: PASSTHROUGH}
"""


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        (OTHERS.replace("name: http", "name: tcp-db"), "carries HTTP only", 6),
        (OTHERS.replace("name: http", "protocol: UDP"), "is UDP", 6),
        (OTHERS.replace("port: 80,", "port: 15000,"), "admin interface", 6),
        (GRPC_WEB, "GRPC-WEB needs", 9),
        (
            PASSTHROUGH,
            "PASSTHROUGH needs",
            11,
        ),
    ],
)
def test_what_the_mesh_cannot_do_is_refused_with_its_place(topology, text, message, line):
    with pytest.raises(InputError) as caught:
        check_supported(parse_manifests(text, "other.yaml"), topology)
    assert message in str(caught.value)
    where = caught.value.problems[0].where
    assert where is not None
    assert (where.file, where.line) == ("other.yaml", line)


def test_a_service_without_listening_pods_is_warned_about(topology):
    warnings = check_supported(parse_manifests(OTHERS.replace("app: reviews", "app: nobody"), "other.yaml"), topology)
    assert len(warnings) == 1
    assert "no pod of this mesh listens behind port 80 of the Service web" in warnings[0]


def test_bootstrap_names_the_proxy_and_its_files(topology):
    made = bootstrap(topology.pod("reviews-v1"), PATHS)
    assert made["node"]["id"] == "sidecar~127.0.9.12~reviews-v1.default~default.svc.cluster.local"
    assert made["node"]["cluster"] == "reviews.default"
    assert made["admin"]["address"]["socket_address"] == {"address": "127.0.9.82", "port_value": 15000}
    assert made["dynamic_resources"]["cds_config"]["path_config_source"] == {
        "path": "/run/mesh/client/cds.json",
        "watched_directory": {"path": "/run/mesh/client"},
    }
    gateway = bootstrap(topology.pod("gateway"), PATHS)
    assert gateway["node"]["id"] == "router~127.0.9.9~gateway.istio-system~istio-system.svc.cluster.local"


def test_route_files_have_safe_names():
    assert PATHS.route("http.8080") == Path("/run/mesh/client/rds/http.8080.json")
    assert PATHS.route("../x|y").name == ".._x_y.json"


def test_every_route_config_is_used_by_a_listener(proxy, manifests):
    for text, pod in ((OTHERS, "client"), (OTHERS, "reviews-v1"), (manifests.gateway + bound(manifests), "gateway")):
        config = proxy(text, pod)
        used = {manager(listener).get("rds", {}).get("route_config_name") for listener in config.listeners} - {None}
        assert used == {route.name for route in config.routes}


def test_messages_are_plain_json_with_types(proxy, manifests):
    config = proxy(manifests.subsets)
    types = {resource.config["@type"] for resource in (*config.clusters, *config.listeners, *config.routes)}
    assert all(re.fullmatch(r"type\.googleapis\.com/envoy\.config\.\w+\.v3\.\w+", name) for name in types)
    assert len(types) == 3
