"""What `from` means on a cluster: a workload here, or one of another namespace."""

from dataclasses import dataclass, field

import pytest

from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.origin import labels_of, origin_of, selectors_of
from tests.mesh.cluster.sample_cluster import pod


@dataclass
class _Api:
    """An API server that knows a few paths."""

    answers: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)

    def get(self, path, _query=None):
        self.asked.append(path)
        answer = self.answers.get(path.rstrip("/"), StatusError(404, "NotFound", "no such thing", path))
        if isinstance(answer, StatusError):
            raise answer
        return answer


SLEEP = {
    "metadata": {"name": "sleep-1", "namespace": "legacy", "labels": {"app": "sleep"}},
    "spec": {"containers": [{"name": "sleep"}]},
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
}


def test_a_workload_of_the_runs_namespace_needs_no_look_elsewhere():
    api = _Api()
    assert origin_of(api, "shop", [pod()], "reviews-v1-abc").namespace == "shop"
    assert origin_of(api, "shop", [pod("a.b")], "a.b").workload == "a.b"
    own = origin_of(api, "shop", [pod()], "sleep.shop")
    assert (own.workload, own.foreign, own.host("details:1", "shop")) == ("sleep", False, "details:1")
    assert api.asked == []


def test_a_workload_of_another_namespace_is_looked_up_there():
    api = _Api({"/api/v1/namespaces/legacy/pods": {"items": [SLEEP]}})
    origin = origin_of(api, "shop", [pod()], "sleep.legacy")
    assert (origin.workload, origin.namespace, origin.foreign) == ("sleep", "legacy", True)
    assert [item.name for item in origin.pods] == ["sleep-1"]
    assert origin.host("details:9080", "shop") == "details.shop:9080"
    assert origin.host("details.other:9080", "shop") == "details.other:9080"
    assert origin.host(None, "shop") is None


def test_a_namespace_that_is_not_there_has_no_pods():
    assert list(origin_of(_Api(), "shop", [], "sleep.legacy").pods) == []
    forbidden = StatusError(403, "Forbidden", "cannot list resource", "GET")
    with pytest.raises(StatusError):
        origin_of(_Api({"/api/v1/namespaces/legacy/pods": forbidden}), "shop", [], "sleep.legacy")


def test_labels_and_selectors_are_read_where_they_may_be():
    api = _Api(
        {
            "/api/v1/namespaces/legacy": {"metadata": {"labels": {"istio-injection": "enabled"}}},
            "/api/v1/namespaces/legacy/services": {"items": [{"spec": {"selector": {"app": "a"}}}, {"spec": {}}]},
        }
    )
    assert labels_of(api, "legacy") == {"istio-injection": "enabled"}
    assert selectors_of(api, "legacy") == [{"app": "a"}, {}]
    closed = StatusError(403, "Forbidden", "cannot get resource", "GET")
    api = _Api(dict.fromkeys(["/api/v1/namespaces/legacy", "/api/v1/namespaces/legacy/services"], closed))
    assert labels_of(api, "legacy") == {}
    assert selectors_of(api, "legacy") == []
