"""Who is there, for the lint of policies: service accounts of pods and of what a run deploys."""

import pytest

from runner.istio.lint import lint
from runner.istio.load import parse_manifests
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.pod_labels import pod_labels
from runner.mesh.cluster.pods import Pod

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: 2
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec: {serviceAccountName: ACCOUNT, containers: [{name: a, image: a}]}
"""
POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: viewer}
spec:
  rules:
  - from:
    - source: {principals: ["PRINCIPAL"]}
    - source: {namespaces: [elsewhere]}
"""


class _Api:
    def __init__(self, **accounts):
        self.accounts = accounts

    def get(self, path):
        assert path == "/api/v1/namespaces/shop/pods"
        if not self.accounts:
            raise StatusError(403, "Forbidden", "no", path)
        return {
            "items": [
                {"metadata": {"name": name}, "spec": {"serviceAccountName": account} if account else {}}
                for name, account in self.accounts.items()
            ]
        }


def _pod(name, namespace="shop", *, proxied=True, gateway=False):
    labels = {"app": name}
    return Pod(name, namespace, name, labels, proxied=proxied, gateway=gateway, ready=True, restarts={})


def _deployment(name, account):
    text = DEPLOYMENT.replace("NAME", name).replace("ACCOUNT", account)
    return parse_manifests(text, "app.yaml", namespace="shop", embedded=False)


PODS = [_pod("a"), _pod("b", proxied=False), _pod("door", "istio-system", gateway=True)]


def _accounts(found):
    return {pod.labels["app"]: pod.service_account for pod in found}


def test_pods_have_their_own_account_and_new_ones_that_of_their_template():
    api = _Api(a="bookinfo-a", b="")
    assert _accounts(pod_labels(api, "shop", PODS, [])) == {"a": "bookinfo-a", "b": "default", "door": ""}
    state = [*_deployment("a", "changed"), *_deployment("c", "bookinfo-c")]
    found = pod_labels(api, "shop", PODS, state)
    assert _accounts(found) == {"a": "changed", "b": "default", "door": "", "c": "bookinfo-c"}
    assert {pod.labels["app"]: (pod.sidecar, pod.replicas) for pod in found} == {
        "a": (True, 1), "b": (False, 1), "door": (True, 1), "c": (True, 2)
    }  # fmt: skip


def test_without_pods_nothing_is_asked_and_without_the_right_nothing_is_known():
    assert pod_labels(None, "shop", [], _deployment("a", "x")) == []
    assert _accounts(pod_labels(_Api(), "shop", PODS, [])) == {"a": "", "b": "", "door": ""}


@pytest.mark.parametrize(
    ("principal", "told"),
    [
        ("cluster.local/ns/shop/sa/bookinfo-a", ""),
        ("td/ns/shop/sa/bookinfo-a", ""),
        ("cluster.local/ns/shop/sa/bookinfo-x", 'no workload has the identity "cluster.local/ns/shop/sa/bookinfo-x"'),
        ("cluster.local/ns/shop/sa/default", "have no sidecar, so nobody sees that identity"),
        ("cluster.local/ns/istio-system/sa/prometheus", ""),
        ("cluster.local/ns/elsewhere/sa/x", ""),
    ],
)
def test_of_a_cluster_only_what_was_looked_at_is_judged(principal, told):
    """The gateway's pods are known, and neither who else is in its namespace, nor who is in others."""
    pods = pod_labels(_Api(a="bookinfo-a", b=""), "shop", PODS, [])
    policy = parse_manifests(POLICY.replace("PRINCIPAL", principal), "p.yaml", namespace="shop", embedded=False)
    found = [str(one) for one in lint(policy, pods, ("shop",))]
    assert len(found) == bool(told)
    assert all(told in one for one in found)
