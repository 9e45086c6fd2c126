"""What the metrics API and a kubelet say, as they write it, and in which order they are asked."""

from __future__ import annotations

import pytest

from runner.errors import MeshError
from runner.mesh.cluster.errors import AwayError, StatusError
from runner.mesh.cluster.pods import Pod
from runner.mesh.cluster.usage import UsageReader, metrics_usage, quantity, summary_usage

POD = Pod("reviews-v1-abc", "shop", "reviews-v1", {}, proxied=True, gateway=False, ready=True, restarts={}, node="n1")
PODS = {("shop", "reviews-v1-abc"): POD}
METRICS = {
    "kind": "PodMetricsList",
    "items": [
        {
            "metadata": {"name": "reviews-v1-abc", "namespace": "shop"},
            "timestamp": "2026-11-24T12:40:08Z",
            "window": "15.061s",
            "containers": [
                {"name": "istio-proxy", "usage": {"cpu": "2500000n", "memory": "41Mi"}},
                {"name": "reviews", "usage": {"cpu": "3m", "memory": "1024Ki"}},
                {"name": "other", "usage": {"cpu": "0", "memory": "1M"}},
            ],
        },
        {"metadata": {"name": "else", "namespace": "shop"}, "containers": []},
    ],
}
SUMMARY = {
    "pods": [
        {
            "podRef": {"name": "reviews-v1-abc", "namespace": "shop"},
            "containers": [
                {
                    "name": "istio-proxy",
                    "cpu": {"time": "2026-11-24T12:40:08Z", "usageNanoCores": 5, "usageCoreNanoSeconds": 364726131},
                    "memory": {"time": "2026-11-24T12:40:08Z", "workingSetBytes": 32710656},
                },
                {"name": "reviews", "cpu": {"time": "2026-11-24T12:40:08Z"}},
            ],
        },
        {"podRef": {"name": "else", "namespace": "shop"}, "containers": []},
    ]
}


class Silent:
    """A fleet without proxies."""

    def __init__(self):
        self.clients = {}

    def get(self, _path):
        return {}


class Server:
    """An API server that answers some paths, and refuses others with a status."""

    def __init__(self, **answers):
        self.answers, self.asked = answers, []

    def get(self, path, _query=None):
        key = "metrics" if "metrics.k8s.io" in path else "summary"
        self.asked.append(key)
        answer = self.answers[key]
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_the_metrics_api():
    found = {usage.part: usage for usage in metrics_usage(METRICS, PODS)}
    assert found.keys() == {"proxy", "app"}
    assert (found["proxy"].cores, found["proxy"].memory, found["proxy"].over) == (0.0025, 41 * 2**20, 15.061)
    assert (found["app"].cores, found["app"].memory) == (0.003, 2**20 + 10**6)
    assert (found["app"].workload, found["app"].at) == ("reviews-v1", 1795524008.0)


def test_a_kubelets_summary():
    (usage,) = summary_usage(SUMMARY, PODS)
    assert (usage.part, usage.cpu, usage.memory) == ("proxy", 0.364726131, 32710656)


def test_the_kubelet_is_asked_where_there_is_no_metrics_api():
    server = Server(metrics=StatusError(404, "NotFound", "the server could not find it", "GET"), summary=SUMMARY)
    reader = UsageReader(server, "shop", [POD], Silent())
    assert [usage.cpu for usage in reader.read()] == [0.364726131]
    assert reader.read()
    assert server.asked == ["metrics", "summary", "summary"]
    assert reader.without_cpu == ""


def test_nobody_says():
    refused = StatusError(403, "Forbidden", 'User "x" cannot list resource', "GET")
    server = Server(metrics={"items": []}, summary=refused)
    reader = UsageReader(server, "shop", [POD], Silent())
    with pytest.raises(
        MeshError, match=r"the metrics API says nothing of these pods; the kubelet .* cannot list resource"
    ):
        reader.read()


def test_a_server_that_is_away_is_no_refusal():
    reader = UsageReader(Server(metrics=AwayError("away")), "shop", [POD], Silent())
    with pytest.raises(AwayError):
        reader.read()


@pytest.mark.parametrize(
    ("text", "number"), [("250m", 0.25), ("31Mi", 31 * 2**20), ("1.5", 1.5), ("12u", 12e-6), ("2k", 2000)]
)
def test_quantities(text, number):
    assert quantity(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "m", "1x", "-1", "1 Mi"])
def test_what_is_no_quantity(text):
    with pytest.raises(ValueError, match="is no quantity"):
        quantity(text)
