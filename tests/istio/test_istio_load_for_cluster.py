"""Manifests for a cluster: what Istio has and the models do not know is no mistake there, what Istio has not is one on every mesh."""

import pytest

from runner.errors import InputError
from runner.istio.fields import is_unsupported
from runner.istio.kinds import KINDS
from runner.istio.lint import PodLabels, lint
from runner.istio.load import known_part, load_manifests, parse_manifests, resources_from, says_more, typed
from runner.yamlfile.documents import parse_documents

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http, port: 80}]}
"""

BEYOND = {
    "tcp routes": """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec: {hosts: [db], tcp: [{route: [{destination: {host: db}}]}]}
""",
    "a delegate": """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec: {hosts: [shop], http: [{delegate: {name: b}}]}
""",
    "cors": """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec: {hosts: [shop], http: [{route: [{destination: {host: shop}}], corsPolicy: {allowMethods: [GET]}, timeout: 2s}]}
""",
    "other namespaces": """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec: {hosts: [shop], exportTo: [b, c], http: [{route: [{destination: {host: shop}}]}]}
""",
    "tls of a rule": """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: shop, trafficPolicy: {tls: {mode: SIMPLE}, connectionPool: {tcp: {maxConnections: 3}}}}
""",
    "an HTTPS server": """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: a}
spec: {servers: [{port: {number: 443, name: s, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: c}}]}
""",
    "another name for a host outside": """
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {type: ExternalName, externalName: example.com}
""",
    "a kind": """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a}
spec: {hosts: [example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
""",
    "a policy's action": """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: a}
spec: {action: CUSTOM, provider: {name: p}, rules: [{}]}
""",
}


def cluster(text):
    return parse_manifests(text, "f.yaml", namespace="shop", embedded=False)


@pytest.mark.parametrize("text", BEYOND.values(), ids=BEYOND)
def test_what_the_embedded_mesh_can_not_hold_a_cluster_gets_as_written(text):
    (resource,) = cluster(text)
    (document,) = parse_documents(text, "f.yaml")
    assert resource.spec == document.data["spec"]
    assert resource.key.namespace == "shop"
    assert says_more(resource)
    with pytest.raises(InputError) as error:
        parse_manifests(text, "f.yaml")
    assert any(is_unsupported(problem) for problem in error.value.problems)


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.model is None], ids=lambda kind: kind.name)
def test_any_kind_of_istios_is_taken_with_whatever_it_says(kind):
    text = f"apiVersion: {kind.api_versions[0]}\nkind: {kind.name}\nmetadata: {{name: a}}\nspec: {{any: [thing]}}\n"
    (resource,) = cluster(text)
    assert known_part(resource) is None
    with pytest.raises(InputError, match="that the embedded mesh does not support yet"):
        typed(resource)


def test_the_known_part_is_what_the_models_know():
    (cors,) = cluster(BEYOND["cors"])
    assert known_part(cors).http[0].timeout == 2
    assert known_part(cors) is known_part(cors)
    (rule,) = cluster(BEYOND["tls of a rule"])
    assert known_part(rule).traffic_policy.connection_pool.tcp.max_connections == 3
    assert known_part(cluster(BEYOND["tcp routes"])[0]) is None
    (whole,) = cluster(SERVICE)
    assert known_part(whole) == typed(whole)
    assert not says_more(whole)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("corsPolicy", "corsPolcy", 'unknown key "corsPolcy"; expected one of'),
        ("timeout: 2s", "timeout: 2", "f.yaml:5:113: spec.http.0.timeout: 2 is not a duration"),
        ("hosts: [shop], ", "", '"hosts" is missing'),
        ("networking.istio.io/v1", "networking.istio.io/v2", 'has no apiVersion "networking.istio.io/v2"'),
        ("name: a", "name: A", "'A' is not a name"),
        ("kind: VirtualService", "kind: Secret", 'a run can\'t apply to a cluster the kind "Secret"'),
        ("kind: VirtualService", "kind: Secret", "have it there before the run: kubectl apply -f"),
        ("kind: VirtualService", "kind: ServiceEntri", 'Did you mean "ServiceEntry"?'),
    ],
)
def test_what_istio_has_not_is_refused_for_a_cluster_too(old, new, message):
    with pytest.raises(InputError) as error:
        cluster(BEYOND["cors"].replace(old, new))
    assert any(message in str(problem) for problem in error.value.problems), error.value.problems
    assert not any(is_unsupported(problem) for problem in error.value.problems)


def test_a_gateway_of_the_kubernetes_api_is_told_apart():
    with pytest.raises(InputError, match="A run does not apply resources of the Kubernetes Gateway API yet"):
        cluster("apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: a}\n")


def test_files_and_inline_resources_are_read_the_same_way(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(BEYOND["a kind"])
    assert load_manifests(path, embedded=False)[0].key.kind == "ServiceEntry"
    (document,) = parse_documents(BEYOND["a kind"], "e.yaml")
    assert resources_from(document, embedded=False)[0].key.kind == "ServiceEntry"
    with pytest.raises(InputError):
        resources_from(document)


def test_lint_takes_what_it_can_not_read_for_good():
    """A host outside, a gateway with TLS, subsets of a rule that is read in part: none is missing."""
    routes = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: routes}
spec:
  hosts: [shop.example.com]
  gateways: [a]
  http:
  - match: [{uri: {prefix: /out}}]
    route: [{destination: {host: example.com}}]
  - route: [{destination: {host: shop, subset: v1}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: outside}
spec: {hosts: [example.com], http: [{route: [{destination: {host: example.com}}]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: outside}
spec: {host: example.com}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, exportTo: [b, c], subsets: [{name: v1, labels: {version: v1}}]}
"""
    state = cluster("---".join([SERVICE, BEYOND["a kind"], BEYOND["an HTTPS server"], routes]))
    pods = [PodLabels({"app": "shop", "version": "v1"}, "shop")]
    assert lint(state, pods) == []
    without = [item for item in state if item.key.kind != "ServiceEntry"]
    assert 'no Service has the host "example.com"' in str(lint(without, pods)[0])
