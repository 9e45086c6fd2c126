from __future__ import annotations

import re
import textwrap

import pytest

from runner.errors import InputError
from runner.istio.lint import PodLabels, lint, pods_of_deployments
from runner.istio.load import parse_manifests

APP = """\
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {selector: {app: reviews}, ports: [{port: 9080, name: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: ratings}
spec: {selector: {app: ratings}, ports: [{port: 9080, name: http}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: bookinfo-gateway}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: ["*.example.com"]}]
"""

PODS = [PodLabels({"app": "reviews", "version": f"v{n}"}) for n in (1, 2, 3)] + [
    PodLabels({"app": "ratings", "version": "v1"})
]

RULES = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
  - {name: v2-mysql, labels: {version: v2-mysql}}
"""


def virtual_service(http, head="hosts: [reviews]", name="reviews"):
    text = f"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}}}\nspec:\n"
    return (
        text + textwrap.indent(textwrap.dedent(head).strip() + "\nhttp:\n" + textwrap.dedent(http).strip(), "  ") + "\n"
    )


def findings(*texts, pods=PODS, rules=RULES):
    resources = parse_manifests(APP, "app.yaml")
    if rules:
        resources += parse_manifests(rules, "rules.yaml")
    for number, text in enumerate(texts):
        resources += parse_manifests(text, f"{number}.yaml")
    return [str(finding) for finding in lint(resources, pods)]


def one(*texts, **more):
    (finding,) = findings(*texts, **more)
    return finding


def pointed_at(finding, *texts):
    """The line, from the column on, that a finding of `findings(*texts)` names."""
    _, number, line, column = re.match(r"(\w+: )(\d+)\.yaml:(\d+):(\d+): ", finding).groups()
    return texts[int(number)].splitlines()[int(line) - 1][int(column) - 1 :]


TO_V1 = "- route: [{destination: {host: reviews, subset: v1}}]"


def test_good_config_has_no_findings():
    assert findings(virtual_service(TO_V1)) == []
    assert findings() == []


def test_a_destination_that_no_service_has():
    text = virtual_service("- route: [{destination: {host: reveiws}}]")
    found = one(text)
    assert found.endswith(
        'no Service has the host "reveiws"; expected one of ratings, reviews. Did you mean "reviews"?'
    )
    assert found.startswith("error: ")
    assert pointed_at(found, text) == "reveiws}}]"


def test_a_half_long_name_is_not_completed_by_istio():
    found = one(virtual_service("- route: [{destination: {host: reviews.default}}]"))
    assert 'Did you mean "reviews.default.svc.cluster.local"? Istio completes names without a dot only' in found
    assert (
        findings(virtual_service("- route: [{destination: {host: reviews.default.svc.cluster.local, subset: v1}}]"))
        == []
    )


def test_mirrors_are_destinations_too():
    both = "- route: [{destination: {host: reviews}}]\n  mirror: {host: nobody}\n"
    assert 'no Service has the host "nobody"' in one(virtual_service(both))
    many = "- route: [{destination: {host: reviews}}]\n  mirrors: [{destination: {host: reviews, subset: v9}}]\n"
    assert 'no DestinationRule defines the subset "v9"' in one(virtual_service(many))


def test_a_port_that_the_service_has_not():
    text = virtual_service("- route: [{destination: {host: reviews, port: {number: 80}}}]")
    found = one(text)
    assert found.endswith("the Service reviews has no port 80; expected one of 9080")
    assert pointed_at(found, text) == "80}}}]"


def test_a_subset_that_no_rule_defines():
    text = virtual_service("- route: [{destination: {host: reviews, subset: v22}}]")
    found = one(text)
    assert 'no DestinationRule defines the subset "v22" of reviews; expected one of v1, v2, v2-mysql' in found
    assert pointed_at(found, text) == "v22}}]"
    assert "503 (NC)" in one(virtual_service(TO_V1), rules="")


def test_a_subset_without_pods_matters_when_a_route_uses_it():
    text = virtual_service("- route: [{destination: {host: reviews, subset: v2-mysql}}]")
    found = one(text)
    assert found.startswith("warning: ")
    assert 'no pod of reviews is in the subset "v2-mysql" (version=v2-mysql). Requests would get 503 (UH)' in found
    assert pointed_at(found, text) == "v2-mysql}}]"
    assert findings(text, pods=[]) == []


def test_a_host_of_the_mesh_that_no_service_has():
    assert 'no Service has the host "review"' in one(virtual_service(TO_V1, "hosts: [review]"))


def test_a_gateway_that_does_not_exist():
    found = one(virtual_service(TO_V1, "hosts: [a.example.com]\ngateways: [bookinfo-gatway]"))
    assert found.startswith(
        'error: 0.yaml:6:14: there is no Gateway "bookinfo-gatway"; expected one of mesh, bookinfo-gateway'
    )
    assert found.endswith('Did you mean "bookinfo-gateway"?')
    good = "hosts: [a.example.com]\ngateways: [default/bookinfo-gateway, mesh]"
    assert findings(virtual_service(TO_V1, good)) == []


def test_a_match_on_a_gateway_that_is_not_bound():
    http = "- match: [{gateways: [bookinfo-gateway]}]\n  route: [{destination: {host: reviews}}]"
    assert "not bound to the gateway" in one(virtual_service(http))


def test_a_host_that_the_gateway_does_not_serve():
    found = one(virtual_service(TO_V1, "hosts: [a.example.org]\ngateways: [bookinfo-gateway]"))
    assert found.startswith("warning: 0.yaml:5:11: the Gateway default/bookinfo-gateway does not serve")


@pytest.mark.parametrize("fault", ["delay: {fixedDelay: 1s}", "abort: {httpStatus: 500}"])
def test_a_fault_without_a_percentage_never_fires(fault):
    text = virtual_service(f"- fault: {{{fault}}}\n  route: [{{destination: {{host: reviews}}}}]")
    found = one(text)
    assert found.startswith("error: ")
    assert f"this {fault[:5]} has neither percentage nor percent" in found
    assert "istio#36303" in found
    assert pointed_at(found, text) == fault + "}"


@pytest.mark.parametrize("share", ["percent: 0", "percentage: {value: 0}", "percentage: {}"])
def test_a_fault_that_hits_nobody(share):
    http = f"- fault: {{abort: {{{share}, httpStatus: 500}}}}\n  route: [{{destination: {{host: reviews}}}}]"
    found = one(virtual_service(http))
    assert found.startswith("warning: ")
    assert "this abort hits 0 %" in found


def test_timeout_and_retries_beside_a_fault_are_ignored_by_istio():
    http = """
        - fault: {delay: {percent: 100, fixedDelay: 2s}}
          timeout: 0.5s
          retries: {attempts: 1}
          route: [{destination: {host: reviews}}]
    """
    timeout, retries = findings(virtual_service(http))
    assert timeout.startswith("warning: 0.yaml:8:5: timeout beside a fault on the same route")
    assert "istio#13705" in timeout
    assert retries.startswith("warning: 0.yaml:9:5: retries beside a fault")


def test_weights_that_add_up_to_nothing():
    http = "- route: [{destination: {host: reviews}}, {destination: {host: ratings}, weight: 0}]"
    assert one(virtual_service(http)).startswith("error: 0.yaml:7:5: 2 destinations whose weights add up to 0")


@pytest.mark.parametrize(
    "match", ["", "  match: [{uri: {prefix: /}}]\n", "  match: [{name: all}]\n", "  match: [{uri: {regex: '.*'}}]\n"]
)
def test_a_route_after_one_that_takes_all(match):
    http = f"- route: [{{destination: {{host: reviews}}}}]\n{match}- route: [{{destination: {{host: ratings}}}}]"
    assert "never reached: the route at line 7 takes every request" in one(virtual_service(http))


@pytest.mark.parametrize("match", ["headers: {a: {}}", "uri: {prefix: /a}", "port: 80", "method: {exact: GET}"])
def test_a_route_after_one_that_takes_some(match):
    http = f"- match: [{{{match}}}]\n  route: [{{destination: {{host: reviews}}}}]\n"
    http += "- route: [{destination: {host: ratings}}]"
    assert findings(virtual_service(http)) == []


def test_two_virtual_services_for_one_host():
    full = "hosts: [reviews.default.svc.cluster.local]"
    found = one(virtual_service(TO_V1), virtual_service(TO_V1, full, "other"))
    assert found.startswith("warning: 1.yaml:5:11: VirtualService default/reviews has the host")
    assert "sidecars follow the older one only" in found
    at_gateway = "hosts: [a.example.com]\ngateways: [bookinfo-gateway]"
    assert findings(virtual_service(TO_V1), virtual_service(TO_V1, at_gateway, "other")) == []


def rule(policy, name="extra", subsets=""):
    return (
        f"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}}}\n"
        f"spec:\n  host: reviews\n  trafficPolicy: {policy}\n{subsets}"
    )


def test_a_rule_for_a_host_that_no_service_has():
    found = one(RULES.replace("host: reviews", "host: reviws").replace("name: reviews", "name: x"))
    assert found.startswith('error: 0.yaml:5:9: no Service has the host "reviws"')


@pytest.mark.parametrize(
    ("policy", "pods", "warned"),
    [
        (
            "outlierDetection: {consecutive5xxErrors: 1}",
            9,
            "maxEjectionPercent 10 (the default) never ejects any of the 9 pods",
        ),
        ("outlierDetection: {consecutive5xxErrors: 1}", 10, None),
        ("outlierDetection: {maxEjectionPercent: 100}", 1, None),
        (
            "outlierDetection: {maxEjectionPercent: 50}",
            1,
            "maxEjectionPercent 50 never ejects any of the 1 pod of reviews",
        ),
        ("outlierDetection: {maxEjectionPercent: 50}", 2, None),
        ("outlierDetection: {maxEjectionPercent: 0}", 20, "maxEjectionPercent 0 never ejects any of the 20 pods"),
    ],
)
def test_an_ejection_limit_that_ejects_nobody(policy, pods, warned):
    found = findings(rule(f"{{{policy}}}"), pods=[PodLabels({"app": "reviews"}, replicas=pods)], rules="")
    assert len(found) == (1 if warned else 0)
    if warned:
        assert warned in found[0]


def test_a_limit_that_is_enough_for_a_service_may_not_be_for_its_subset():
    policy = rule(
        "{outlierDetection: {maxEjectionPercent: 50}}", subsets="  subsets: [{name: v1, labels: {version: v1}}]\n"
    )
    assert findings(policy, rules="") == []
    assert "any of the 1 pod of reviews v1" in one(policy, virtual_service(TO_V1), rules="")


def test_a_subsets_own_limit():
    subsets = (
        "  subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 1}}}]\n"
    )
    text = rule("{}", subsets=subsets)
    found = one(text, rules="")
    assert "maxEjectionPercent 10 (the default) never ejects any of the 1 pod of reviews v1" in found
    assert pointed_at(found, text).startswith("outlierDetection: {")


def test_the_deprecated_error_count_is_ignored_by_istio():
    assert "consecutiveErrors is deprecated" in one(
        rule("{outlierDetection: {consecutiveErrors: 5, maxEjectionPercent: 100}}")
    )


def test_two_rules_for_one_host():
    policy = "{loadBalancer: {simple: RANDOM}}"
    more = "  subsets: [{name: v2, labels: {version: v2}}]\n"
    subset = one(rule(policy, subsets=more))
    assert 'DestinationRule default/reviews has the subset "v2" for the same host' in subset
    assert "DestinationRule default/a has a trafficPolicy for the same host" in one(
        rule(policy, "a"), rule(policy, "b")
    )


def test_errors_come_first_then_the_order_of_the_files():
    warned = "- fault: {abort: {percent: 0, httpStatus: 500}}\n  route: [{destination: {host: reviews}}]"
    wrong = "- route: [{destination: {host: nobody}}]"
    found = findings(virtual_service(warned), virtual_service(wrong, "hosts: [ratings]", "ratings"))
    assert [text.split(":")[0] for text in found] == ["error", "warning"]


def test_pods_of_deployments():
    text = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: a, namespace: prod}
spec:
  replicas: 3
  selector: {matchLabels: {app: a}}
  template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a}]}}
"""
    assert pods_of_deployments(parse_manifests(text + "---\n" + RULES, "f.yaml")) == [
        PodLabels({"app": "a"}, "prod", 3)
    ]


def test_a_spec_that_is_wrong_is_no_finding():
    (resource,) = parse_manifests(RULES, "f.yaml")
    del resource.body["spec"]["host"]
    resource.parsed.clear()
    with pytest.raises(InputError, match='"host" is missing'):
        lint([resource], [])
