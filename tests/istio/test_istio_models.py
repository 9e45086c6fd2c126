from __future__ import annotations

import textwrap

import pytest

from runner.errors import InputError
from runner.istio.destination_rule import DestinationRule, HTTPSettings, OutlierDetection
from runner.istio.fields import IstioModel, Percent
from runner.istio.gateway import Gateway
from runner.istio.kube import Deployment, Service
from runner.istio.load import parse_manifests, typed
from runner.istio.virtual_service import Destination, HTTPRoute, VirtualService

HEAD = """\
apiVersion: networking.istio.io/v1
kind: {kind}
metadata: {{name: x}}
spec:
"""


def load(kind, spec):
    text = HEAD.format(kind=kind) + textwrap.indent(textwrap.dedent(spec), "  ")
    if kind in {"Service", "Deployment"}:
        version = "v1" if kind == "Service" else "apps/v1"
        text = text.replace("networking.istio.io/v1", version)
    (resource,) = parse_manifests(text, "f.yaml")
    return typed(resource)


def refused(kind, spec):
    with pytest.raises(InputError) as error:
        load(kind, spec)
    return str(error.value)


def route(text):
    """The one http rule of a VirtualService for reviews; `text` is the rule's YAML."""
    body = textwrap.indent(textwrap.dedent(text).strip(), "  ")
    return load("VirtualService", "hosts: [reviews]\nhttp:\n-" + body[1:]).http[0]


def bad_route(text):
    body = textwrap.indent(textwrap.dedent(text).strip(), "  ")
    return refused("VirtualService", "hosts: [reviews]\nhttp:\n-" + body[1:])


TO = "route: [{destination: {host: reviews}}]\n"


def test_every_field_of_a_route_is_read_in_istios_spelling():
    rule = route("""
        name: all
        match:
        - name: m
          uri: {prefix: /a}
          scheme: {exact: http}
          method: {exact: GET}
          authority: {regex: 'a.*'}
          headers: {end-user: {exact: jason}, present: {}}
          withoutHeaders: {x-no: {prefix: a}}
          queryParams: {q: {regex: '.+'}}
          ignoreUriCase: true
          port: 9080
          sourceLabels: {app: productpage}
          sourceNamespace: default
          gateways: [mesh]
        route:
        - destination: {host: reviews, subset: v1, port: {number: 9080}}
          weight: 90
          headers: {request: {set: {a: b}, add: {c: d}, remove: [e]}}
        - destination: {host: reviews, subset: v2}
          weight: 10
        rewrite: {uri: /b, authority: other}
        timeout: 0.5s
        retries:
          attempts: 3
          perTryTimeout: 1m30s
          retryOn: '5xx,reset,503,unavailable'
          retryRemoteLocalities: true
          backoff: 25ms
        fault:
          delay: {percentage: {value: 12.5}, fixedDelay: 2s}
          abort: {percent: 5, grpcStatus: UNAVAILABLE}
        mirrors: [{destination: {host: ratings}, percentage: {value: 0}}]
        headers: {response: {remove: [server]}}
    """)
    match = rule.match[0]
    assert match.uri.prefix == "/a"
    assert match.headers["present"].presence_only
    assert not match.headers["end-user"].presence_only
    assert (match.without_headers["x-no"].prefix, match.query_params["q"].regex, match.source_namespace) == (
        "a",
        ".+",
        "default",
    )
    assert (match.port, match.ignore_uri_case, match.source_labels) == (9080, True, {"app": "productpage"})
    assert [part.weight for part in rule.route] == [90, 10]
    assert rule.route[0].headers.request.remove == ["e"]
    assert rule.route[0].destination.port.number == 9080
    assert (rule.timeout, rule.retries.per_try_timeout, rule.retries.backoff) == (0.5, 90.0, pytest.approx(0.025))
    assert rule.fault.delay.fixed_delay == 2.0
    assert rule.fault.delay.effective_percent == 12.5
    assert rule.fault.abort.effective_percent == 5.0
    assert rule.all_mirrors()[0].effective_percent == 0


def test_percentage_wins_over_percent_and_neither_is_none():
    both = route(f"fault: {{delay: {{percent: 1, percentage: {{value: 50}}, fixedDelay: 1s}}}}\n{TO}")
    none = route(f"fault: {{abort: {{httpStatus: 500}}}}\n{TO}")
    assert both.fault.delay.effective_percent == 50
    assert none.fault.abort.effective_percent is None


@pytest.mark.parametrize(
    ("written", "percent"),
    [
        ("", 100.0),
        ("mirrorPercent: 20\n", 20.0),
        ("mirror_percent: 30\n", 30.0),
        ("mirrorPercentage: {value: 0.5}\n", 0.5),
    ],
)
def test_mirror_takes_each_spelling_of_its_percentage(written, percent):
    (mirror,) = route(f"{TO}mirror: {{host: reviews, subset: v2}}\n{written}").all_mirrors()
    assert (mirror.destination.subset, mirror.effective_percent) == ("v2", percent)


def test_a_redirect_and_a_direct_response_stand_alone():
    assert route("redirect: {uri: /new, redirectCode: 308}").redirect.redirect_code == 308
    assert route("directResponse: {status: 503, body: {string: no}}").direct_response.body.string == "no"
    assert "route and redirect" in bad_route(f"{TO}redirect: {{uri: /new}}")
    assert "fault needs a route" in bad_route(
        "directResponse: {status: 200}\nfault: {abort: {percent: 1, httpStatus: 500}}"
    )


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("name: a", "needs a route, a redirect or a directResponse"),
        (f"{TO}timeout: 5", "5 is not a duration"),
        (f"{TO}timeout: 0s", "f.yaml:8:14: spec.http.0.timeout: must be at least 1ms"),
        (f"{TO}timeout: 1.5ms", "whole number of milliseconds"),
        (f"{TO}timeout: 5 seconds", "'5 seconds' is not a duration"),
        (f"{TO}fault: {{}}", "a delay, an abort, or both"),
        (f"{TO}fault: {{delay: {{percent: 10}}}}", '"fixedDelay" is missing'),
        (f"{TO}fault: {{delay: {{percent: 101, fixedDelay: 1s}}}}", "less than or equal to 100"),
        (f"{TO}fault: {{delay: {{percentage: {{value: 101}}, fixedDelay: 1s}}}}", "less than or equal to 100"),
        (f"{TO}fault: {{delay: {{percentage: {{value: .nan}}, fixedDelay: 1s}}}}", "finite number"),
        (f"{TO}fault: {{delay: {{percentage: {{value: 0.00001}}, fixedDelay: 1s}}}}", "less than Envoy can count"),
        (f'{TO}fault: {{delay: {{percentage: {{value: "50"}}, fixedDelay: 1s}}}}', "valid number"),
        (f"{TO}fault: {{abort: {{percent: 1}}}}", "exactly one of httpStatus and grpcStatus"),
        (f"{TO}fault: {{abort: {{percent: 1, httpStatus: 99}}}}", "greater than or equal to 200"),
        (f"{TO}fault: {{abort: {{percent: 1, grpcStatus: UNAVAILBLE}}}}", "no gRPC status"),
        (f"{TO}retries: {{attempts: 0, retryOn: 5xx}}", "attempts 0"),
        (f"{TO}retries: {{attempts: -1}}", "greater than or equal to 0"),
        (f"{TO}retries: {{attempts: 1, retryOn: '5xx,timeouts'}}", "'timeouts' is no retryOn policy"),
        (f"{TO}match: [{{uri: {{exact: /a, prefix: /b}}}}]", "exactly one of exact, prefix and regex"),
        (f"{TO}match: [{{uri: {{}}}}]", "exactly one of exact, prefix and regex"),
        (f"{TO}match: [{{uri: {{regex: '(?!a)b'}}}}]", "RE2"),
        (f"{TO}match: [{{uri: {{regex: '(a'}}}}]", "not a regular expression"),
        (f"{TO}mirror: {{host: a}}\nmirrors: [{{destination: {{host: b}}}}]", "one of mirror and mirrors"),
        (f"{TO}rewrite: {{}}", "at least one of uri"),
        ("route: [{destination: {host: '*.default'}}]", "a destination is one host"),
        ("redirect: {port: 80, derivePort: FROM_REQUEST_PORT}", "at most one of port and derivePort"),
        ("redirect: {uri: /a, redirectCode: 300}", "301, 302, 303, 307 or 308"),
        ("route: [{destination: {host: a}, weight: '50'}]", "valid integer"),
        ("route: [{weight: 50}]", '"destination" is missing'),
    ],
)
def test_what_istio_refuses_is_refused_with_its_line(rule, message):
    text = bad_route(rule)
    assert message in text
    assert text.startswith("f.yaml:")


@pytest.mark.parametrize("regex", ["*", ".*", "(?i)/A", r"[[:alpha:]]+\z", r"\Q(\E", r"\pL", r"\\1", r"a\(?=b"])
def test_regexes_of_res_own_dialect_are_left_to_envoy(regex):
    assert route(f"{TO}match: [{{uri: {{regex: '{regex}'}}}}]").match[0].uri.regex == regex


def test_all_hosts_need_a_gateway():
    rule = "\nhttp: [{route: [{destination: {host: a}}]}]"
    assert 'the host "*" needs a gateway' in refused("VirtualService", "hosts: ['*']" + rule)
    assert load("VirtualService", "hosts: ['*']\ngateways: [g]" + rule).effective_gateways == ["g"]
    assert load("VirtualService", "hosts: [a]" + rule).effective_gateways == ["mesh"]


@pytest.mark.parametrize("namespaces", ["['*']", "['.']", "[]"])
def test_export_to_everywhere_or_here(namespaces):
    assert isinstance(load("DestinationRule", f"host: a\nexportTo: {namespaces}"), DestinationRule)


def test_export_to_other_namespaces_is_not_supported_yet():
    text = refused("DestinationRule", "host: a\nexportTo: [other]")
    assert "exportTo other than" in text
    assert "does not support yet" in text


def test_every_setting_of_a_destination_rule():
    rule = load(
        "DestinationRule",
        """
        host: productpage
        trafficPolicy:
          connectionPool:
            tcp:
              maxConnections: 1
              connectTimeout: 30ms
              idleTimeout: 1h
              maxConnectionDuration: 1m
              tcpKeepalive: {probes: 3, time: 7200s, interval: 75s}
            http:
              http1MaxPendingRequests: 1
              http2MaxRequests: 2
              maxRequestsPerConnection: 1
              maxRetries: 4
              idleTimeout: 5s
              maxConcurrentStreams: 6
              h2UpgradePolicy: DO_NOT_UPGRADE
          outlierDetection:
            consecutive5xxErrors: 1
            consecutiveGatewayErrors: 0
            splitExternalLocalOriginErrors: true
            consecutiveLocalOriginFailures: 5
            interval: 1s
            baseEjectionTime: 3m
            maxEjectionPercent: 100
            minHealthPercent: 50
          loadBalancer: {simple: ROUND_ROBIN}
          portLevelSettings:
          - port: {number: 9080}
            loadBalancer:
              consistentHash: {httpCookie: {name: user, path: /, ttl: 0s}, maglev: {tableSize: 65537}}
        subsets:
        - name: v1
          labels: {version: v1}
          trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 512}}}}
        """,
    )
    policy = rule.traffic_policy
    assert policy.connection_pool.tcp.connect_timeout == 0.03
    assert policy.connection_pool.tcp.tcp_keepalive.time == 7200
    assert policy.connection_pool.http == HTTPSettings(
        http1_max_pending_requests=1,
        http2_max_requests=2,
        max_requests_per_connection=1,
        max_retries=4,
        idle_timeout="5s",
        max_concurrent_streams=6,
        h2_upgrade_policy="DO_NOT_UPGRADE",
    )
    outlier = policy.outlier_detection
    assert (outlier.consecutive_5xx_errors, outlier.consecutive_gateway_errors, outlier.consecutive_errors) == (
        1,
        0,
        None,
    )
    assert (outlier.interval, outlier.base_ejection_time, outlier.max_ejection_percent) == (1, 180, 100)
    cookie = policy.port_level_settings[0].load_balancer.consistent_hash.http_cookie
    assert (cookie.name, cookie.path, cookie.ttl) == ("user", "/", 0)
    assert rule.subsets[0].traffic_policy.load_balancer.consistent_hash.ring_hash.minimum_ring_size == 512


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("connectionPool: {}", "takes tcp, http, or both"),
        (
            "connectionPool: {http: {useClientProtocol: true, h2UpgradePolicy: UPGRADE}}",
            "useClientProtocol can't be true",
        ),
        ("outlierDetection: {consecutiveLocalOriginFailures: 3}", "needs splitExternalLocalOriginErrors"),
        ("outlierDetection: {maxEjectionPercent: 101}", "less than or equal to 100"),
        ("outlierDetection: {interval: 0s}", "at least 1ms"),
        ("loadBalancer: {simple: LEAST_REQUESTS}", "'LEAST_REQUEST'"),
        (
            "loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}",
            "exactly one of simple and consistentHash",
        ),
        ("loadBalancer: {consistentHash: {}}", "exactly one of httpHeaderName"),
        ("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 100}}}", "not a prime"),
        ("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {}, ringHash: {}}}", "at most one of ringHash"),
        ("portLevelSettings: [{loadBalancer: {simple: RANDOM}}]", '"port" is missing'),
    ],
)
def test_destination_rules_that_istio_refuses(policy, message):
    assert message in refused("DestinationRule", f"host: a\ntrafficPolicy: {{{policy}}}")


def test_subsets_are_named_once_and_as_dns_labels():
    assert "v1 is defined twice" in refused("DestinationRule", "host: a\nsubsets: [{name: v1}, {name: v1}]")
    assert "DNS label" in refused("DestinationRule", "host: a\nsubsets: [{name: V_1}]")


def test_gateway_servers():
    gateway = load(
        "Gateway", "selector: {istio: gw}\nservers: [{port: {number: 80, name: a, protocol: http}, hosts: ['ns/*']}]"
    )
    assert isinstance(gateway, Gateway)
    assert (gateway.servers[0].port.protocol, gateway.servers[0].hosts) == ("HTTP", ["ns/*"])
    redirect = "servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [a], tls: {httpsRedirect: true}}]"
    assert load("Gateway", redirect).servers[0].tls.https_redirect


@pytest.mark.parametrize(
    ("server", "message"),
    [
        (
            "{port: {number: 443, name: a, protocol: HTTPS}, hosts: [a]}",
            "the protocol HTTPS is one of Istio's that the embedded mesh",
        ),
        ("{port: {number: 80, name: a, protocol: HTP}, hosts: [a]}", "'HTP' is no protocol"),
        ("{port: {number: 80, name: a, protocol: HTTP}, hosts: []}", "at least 1 item"),
        ("{port: {number: 0, name: a, protocol: HTTP}, hosts: [a]}", "greater than or equal to 1"),
        ("{port: {number: 80, protocol: HTTP}, hosts: [a]}", '"name" is missing'),
        ("{port: {number: 80, name: a, protocol: HTTP}, hosts: ['a b']}", "is not a host"),
    ],
)
def test_gateway_servers_that_can_not_be(server, message):
    assert message in refused("Gateway", f"servers: [{server}]")


def test_gateway_port_names_are_used_once():
    server = "{port: {number: 80, name: a, protocol: HTTP}, hosts: [a]}"
    assert "used by two servers" in refused("Gateway", f"servers: [{server}, {server}]")


def test_a_service_keeps_what_routes_need_and_ignores_kubernetes_rest():
    service = load(
        "Service",
        """
        clusterIP: 10.0.0.1
        sessionAffinity: None
        selector: {app: web}
        ports:
        - {port: 80, name: http, targetPort: web, protocol: TCP, appProtocol: http, nodePort: 30080}
        - {port: 81, name: more, targetPort: 8081}
        """,
    )
    assert isinstance(service, Service)
    assert [(port.port, port.target_port) for port in service.ports] == [(80, "web"), (81, 8081)]
    assert service.ports[0].app_protocol == "http"
    assert service.selector == {"app": "web"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ports: [{port: 80}, {port: 81}]", "needs a name"),
        ("ports: [{port: 80, name: a}, {port: 81, name: a}]", "same name"),
        ("ports: [{port: 80, targetPort: 70000}]", "neither a port number nor"),
        ("type: ExternalName\nports: [{port: 80}]", "the type ExternalName is one that the embedded mesh"),
        ("selector: {a: b}", '"ports" is missing'),
    ],
)
def test_services_that_can_not_be(spec, message):
    assert message in refused("Service", spec)


DEPLOYMENT = """
    replicas: 2
    strategy: {type: Recreate}
    selector: {matchLabels: {app: web}}
    template:
      metadata: {labels: {app: web, version: v1}}
      spec:
        serviceAccountName: web
        containers:
        - {name: a, image: x, ports: [{containerPort: 8080, name: web}]}
        - {name: b, image: y}
"""


def test_a_deployment_gives_pods_their_labels_ports_and_identity():
    deployment = load("Deployment", DEPLOYMENT)
    assert isinstance(deployment, Deployment)
    assert (deployment.replicas, deployment.labels, deployment.service_account_name) == (
        2,
        {"app": "web", "version": "v1"},
        "web",
    )
    assert [(port.container_port, port.name) for port in deployment.container_ports] == [(8080, "web")]


def test_a_deployment_must_select_its_own_pods():
    assert "does not match the labels" in refused("Deployment", DEPLOYMENT.replace("{app: web}}", "{app: other}}"))


def test_models_can_be_built_by_python_name():
    rule = HTTPRoute(route=[], direct_response={"status": 200}, mirror_percentage=Percent(value=5))
    assert rule.direct_response.status == 200
    assert OutlierDetection(consecutive_5xx_errors=1).consecutive_5xx_errors == 1
    assert Destination(host="a").host == "a"


def all_models(base=IstioModel):
    for model in base.__subclasses__():
        yield model
        yield from all_models(model)


def test_no_field_is_both_supported_and_not():
    models = list(all_models())
    assert VirtualService in models
    for model in models:
        names = {info.alias for info in model.model_fields.values()}
        assert not names & model.unsupported, model
        assert model.also_spelled <= model.model_fields.keys(), model
