"""The app that a run brings along, as objects of a namespace."""

import json

import pytest

from runner.errors import InputError
from runner.mesh.cluster.app import app_resources, injection_labels
from runner.mesh.cluster.identity import Identity


def test_the_whole_app_is_made_for_the_namespace():
    found = {
        str(item.key): item for item in app_resources("bookinfo", "shop", {"ratings-v1": "local/app:1"}, {"a": "b"})
    }
    kinds = sorted({item.key.kind for item in found.values()})
    assert kinds == ["Deployment", "Gateway", "Service", "ServiceAccount", "VirtualService"]
    assert all(item.body["metadata"]["namespace"] == "shop" for item in found.values())
    template = found["Deployment shop/ratings-v1"].spec["template"]
    assert template["spec"]["containers"][0]["image"] == "local/app:1"
    assert template["metadata"]["labels"] == {"app": "ratings", "version": "v1", "a": "b"}
    config = json.loads(template["metadata"]["annotations"]["proxy.istio.io/config"])
    assert config["proxyStatsMatcher"]["inclusionRegexps"] == [
        r"(cluster|http)\.(outbound|inbound).*",
        r"listener\..*\.(ssl\..*|no_filter_chain_match)",
        r"tcp\.rbac\..*",
    ]
    assert (
        found["Deployment shop/reviews-v1"]
        .spec["template"]["spec"]["containers"][0]["image"]
        .startswith("registry.istio.io/")
    )


def test_an_image_of_a_workload_that_is_not_there_is_told():
    with pytest.raises(InputError, match=r'no Deployment "rating-v1".*Did you mean "ratings-v1"'):
        app_resources("bookinfo", "shop", {"rating-v1": "x"}, {})


@pytest.mark.parametrize(
    ("labels", "revisions", "expected"),
    [
        ({"istio-injection": "enabled"}, {"default"}, {}),
        ({"istio.io/rev": "canary"}, {"default", "canary"}, {}),
        ({}, {"default"}, {"sidecar.istio.io/inject": "true"}),
        ({}, {"canary"}, {"sidecar.istio.io/inject": "true", "istio.io/rev": "canary"}),
        ({}, set(), {"sidecar.istio.io/inject": "true"}),
    ],
)
def test_pods_ask_for_a_sidecar_where_their_namespace_does_not(labels, revisions, expected):
    assert injection_labels(labels, revisions) == expected


def test_an_identity_comes_back_from_its_text():
    identity = Identity("https://10.0.0.1:6443", "shop", "arn:aws:eks:eu:1:cluster/a b")
    assert Identity.parse(str(identity)) == identity
