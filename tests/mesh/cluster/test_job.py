"""The Job of load generators: whose place its pods take, and what they must never be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import InputError, MeshError
from runner.mesh.cluster.api import Api
from runner.mesh.cluster.app import PROXY_CONFIG
from runner.mesh.cluster.entry import GatewayPort
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.inside import workload_pod
from runner.mesh.cluster.inventory import Inventory
from runner.mesh.cluster.job import GENERATOR, OUTSIDE, job_body, place_of
from runner.mesh.cluster.job_host import inside_url, plan_job
from runner.mesh.cluster.job_pods import Jobs, how_a_pod_ended, job_resource
from runner.mesh.cluster.pods import LOAD_FROM, pod_of
from runner.spec.mesh import GeneratorPods

HOLD = ("python3", "-m", "runner.load.aboard", "hold")
NAMES = st.sampled_from(["app", "version", "tier", "team"])
VALUES = st.sampled_from(["a", "b"])


def raw_pod(name="pod", labels=None, annotations=None, account="default", status=None, *, proxied=True):
    containers = [{"name": "app"}, *([{"name": "istio-proxy"}] if proxied else [])]
    return {
        "metadata": {"name": name, "namespace": "trials", "labels": labels or {}, "annotations": annotations or {}},
        "spec": {"containers": containers, "serviceAccountName": account},
        "status": status or {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


GATEWAY = pod_of(raw_pod("gateway"))


@given(
    labels=st.dictionaries(NAMES, VALUES),
    selectors=st.lists(st.dictionaries(NAMES, VALUES, max_size=3), max_size=5),
)
def test_no_service_sends_requests_to_generators(labels, selectors):
    place = place_of("web", raw_pod(labels=labels), selectors, {"sidecar.istio.io/inject": "true"})
    assert not [one for one in selectors if one and one.items() <= place.labels.items()]
    kept = {key: value for key, value in labels.items() if key not in place.lost}
    assert kept.items() <= place.labels.items()
    if not any(one and one.items() <= labels.items() for one in selectors):
        assert place.lost == ()


def test_generators_take_a_workloads_place():
    labels = {"app": "client", "version": "v1", "pod-template-hash": "abc", "security.istio.io/tlsMode": "istio"}
    annotations = {
        "sidecar.istio.io/status": "{}",
        "sidecar.istio.io/proxyCPU": "2",
        "kubectl.kubernetes.io/restartedAt": "now",
    }
    pod = raw_pod(labels={**labels, "istio.io/rev": "default"}, annotations=annotations, account="robot")
    place = place_of("client", pod, [{"app": "web"}], {"istio.io/rev": "canary"})
    assert place.labels == {"app": "client", "version": "v1", "istio.io/rev": "canary", LOAD_FROM: "client"}
    assert place.annotations == {"proxy.istio.io/config": PROXY_CONFIG, "sidecar.istio.io/proxyCPU": "2"}
    assert place.service_account == "robot"
    body = job_body("load-1", "trials", 3, [*HOLD, "300"], "image:1", GeneratorPods(cpu="500m"), place)
    template = body["spec"]["template"]
    assert template["spec"]["serviceAccountName"] == "robot"
    assert pod_of({"metadata": {"name": "x", "namespace": "trials", **template["metadata"]}}).workload == "client"
    assert (body["spec"]["parallelism"], body["spec"]["completions"], body["spec"]["backoffLimit"]) == (3, 3, 0)
    (container,) = template["spec"]["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "500m", "memory": "512Mi"},
        "limits": {"memory": "512Mi"},
    }
    assert not template["spec"]["automountServiceAccountToken"]


def test_generators_keep_away_from_what_they_measure_and_from_each_other():
    body = job_body("load-1", "trials", 2, HOLD, "i", GeneratorPods(), OUTSIDE, [("istio-system", {"istio": "gw"})])
    spec = body["spec"]["template"]["spec"]
    apart = [term["podAffinityTerm"] for term in spec["affinity"]["podAntiAffinity"].popitem()[1]]
    assert apart[0]["labelSelector"] == {"matchExpressions": [{"key": GENERATOR, "operator": "DoesNotExist"}]}
    assert (apart[1]["namespaces"], apart[1]["labelSelector"]) == (["istio-system"], {"matchLabels": {"istio": "gw"}})
    (spread,) = spec["topologySpreadConstraints"]
    assert spread["labelSelector"] == {"matchLabels": {GENERATOR: "load-1"}}
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
    assert body["spec"]["template"]["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"


def test_tolerations_and_node_selector_are_a_pods_own():
    pods = GeneratorPods.model_validate(
        {
            "node_selector": {"pool": "load"},
            "tolerations": [{"key": "load", "operator": "Exists", "effect": "NoSchedule"}],
        }
    )
    spec = job_body("load-1", "trials", 1, HOLD, "i", pods, OUTSIDE)["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"pool": "load"}
    assert spec["tolerations"] == [{"key": "load", "operator": "Exists", "effect": "NoSchedule"}]


class Answers(Api):
    """An API server that gives what it is told to, in order; the last answer again and again."""

    context = "test"

    def __init__(self, **answers):
        self._answers = answers
        self.asked = []

    def call(self, method, path, query=None, body=None):
        self.asked.append((method, path, query, body))
        what = path.rpartition("/")[2] if method == "GET" else method
        answers = self._answers.get(what, [StatusError(404, "NotFound", "no such thing", path)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get(self, path, query=None):
        return self.call("GET", path, query)

    def text(self, path, query=None):
        return str(self.get(path, query))


def waiting(reason, message=""):
    state = {"name": "generator", "state": {"waiting": {"reason": reason, "message": message}}}
    return {"items": [raw_pod("load-1-x", status={"phase": "Pending", "containerStatuses": [state]})]}


def resource(number=1):
    return job_resource(job_body("load-1", "trials", number, HOLD, "i", GeneratorPods(), OUTSIDE), "test")


@pytest.mark.parametrize(
    ("pods", "told"),
    [
        (waiting("InvalidImageName", "bad name"), "pod load-1-x can't run: InvalidImageName: bad name"),
        (waiting("CreateContainerError", "no python3"), "pod load-1-x can't run: CreateContainerError: no python3"),
        (
            {"items": [raw_pod("load-1-x", status={"phase": "Failed", "message": "Evicted: node is full"})]},
            "pod load-1-x can't run: Evicted: node is full",
        ),
    ],
)
def test_a_pod_that_can_never_run_is_told_at_once(pods, told):
    with pytest.raises(MeshError, match=told):
        Jobs(Answers(pods=[pods]), "trials").wait(resource(), 60.0, lambda: None)


def test_a_pod_that_ended_is_told_with_what_it_said():
    state = {"name": "generator", "state": {"terminated": {"reason": "Error", "exitCode": 1}}}
    pods = {"items": [raw_pod("load-1-x", status={"phase": "Running", "containerStatuses": [state]})]}
    answers = Answers(pods=[pods], log=["No module named runner\n"])
    with pytest.raises(
        MeshError, match=r"ended at once \(Error, exit code 1\): No module named runner.*generators.image"
    ):
        Jobs(answers, "trials").wait(resource(), 60.0, lambda: None)


def test_a_pod_that_no_node_takes_is_told_when_the_wait_is_over():
    condition = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes: Insufficient cpu"}
    pods = {"items": [raw_pod("load-1-x", status={"phase": "Pending", "conditions": [condition]})]}
    with pytest.raises(MeshError, match=r"no node takes it: 0/3 nodes: Insufficient cpu. Ask for less"):
        Jobs(Answers(pods=[pods]), "trials").wait(resource(), 0.0, lambda: None)


def test_waiting_can_be_interrupted():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Jobs(Answers(pods=[{"items": []}]), "trials").wait(resource(), 60.0, stop)


def test_a_job_that_may_not_be_made_names_the_role():
    refused = StatusError(403, "Forbidden", 'jobs.batch is forbidden: User "x" cannot create resource', "POST")
    with pytest.raises(MeshError, match=r"cannot create resource.*deploy/kustomize/components/load"):
        Jobs(Answers(POST=[refused]), "trials").make(resource())


def test_jobs_of_dead_runs_are_found_as_they_were_written():
    api = Answers(POST=[{}])
    Jobs(api, "trials").make(resource())
    made = api.asked[0][3]
    made["spec"]["template"]["spec"]["dnsPolicy"] = "ClusterFirst"  # as a server fills it in
    api = Answers(jobs=[{"items": [made, {"metadata": {"name": "somebody-elses"}}]}])
    assert [one.canonical() for one in Jobs(api, "trials").held()] == [resource().canonical()]
    forbidden = StatusError(403, "Forbidden", "x cannot list resource", "GET")
    assert Jobs(Answers(jobs=[forbidden]), "trials").held() == []


def test_removal_waits_for_the_pods_and_does_not_mind_what_is_gone():
    gone = StatusError(404, "NotFound", "no such job", "GET")
    left = {"items": [raw_pod("load-1-x")]}
    api = Answers(DELETE=[gone], **{"load-1": [{}, gone]}, pods=[left, {"items": []}])
    Jobs(api, "trials").remove(["load-1"])
    assert api.asked[-1][1].endswith("/pods")


def test_what_became_of_a_pod_is_told():
    dead = {"name": "generator", "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
    pod = raw_pod("load-1-x", status={"phase": "Running", "containerStatuses": [dead]})
    api = Answers(**{"load-1-x": [pod]})
    assert (
        how_a_pod_ended(api, "trials", "load-1-x")
        == "the pod load-1-x failed: generator ended: OOMKilled, exit code 137"
    )
    assert how_a_pod_ended(Answers(), "trials", "load-1-x") == "the pod load-1-x is gone"
    assert how_a_pod_ended(Answers(**{"load-1-x": [raw_pod("load-1-x")]}), "trials", "load-1-x") == ""


def test_an_image_must_be_known(monkeypatch):
    monkeypatch.delenv("MESHTRIAL_IMAGE", raising=False)
    jobs = Jobs(Answers(), "trials")
    with pytest.raises(InputError, match=r"not known which image.*generators.*MESHTRIAL_IMAGE"):
        plan_job(jobs, GeneratorPods(), Inventory(), {}, [], "gateway", 1, HOLD)
    monkeypatch.setenv("MESHTRIAL_IMAGE", "ours:1")
    assert plan_job(jobs, GeneratorPods(), Inventory(), {}, [], "gateway", 1, HOLD).image == "ours:1"
    chosen = plan_job(jobs, GeneratorPods(image="mine:2", wait="10s"), Inventory(), {}, [], "gateway", 2, HOLD)
    assert (chosen.image, chosen.number) == ("mine:2", 2)
    (container,) = chosen.resource.spec["template"]["spec"]["containers"]
    assert container["command"] == [*HOLD, "310"]


def test_lost_labels_are_noted():
    pod = raw_pod("web-x", labels={"app": "web", "version": "v1"})
    found = pod_of(pod)
    inventory = Inventory([found])
    planned = plan_job(
        Jobs(Answers(**{"web-x": [pod]}), "trials"),
        GeneratorPods(image="i"),
        inventory,
        {},
        [{"app": "web"}],
        "web-x",
        1,
        HOLD,
    )
    (note,) = planned.notes
    assert "take the place of web-x without app among their labels" in note


def test_load_leaves_from_the_workloads_own_pod_and_from_no_generators():
    own, bare = pod_of(raw_pod("client-a")), pod_of(raw_pod("client-b", proxied=False))
    ours = pod_of(raw_pod("client-0", labels={LOAD_FROM: "client-a"}))
    assert workload_pod([ours, own], "client-a") is own
    assert workload_pod([bare], "client-b") is bare
    assert workload_pod([ours], "client-a") is None


def test_pods_reach_the_gateway_by_its_service(monkeypatch):
    monkeypatch.setattr("runner.mesh.cluster.job_host.find_port", lambda *_: None)
    with pytest.raises(InputError, match="nothing can enter at the gateway"):
        inside_url(Inventory(), [], "gateway", None)
    monkeypatch.setattr("runner.mesh.cluster.job_host.find_port", lambda *_: GatewayPort(80, GATEWAY, 8080))
    with pytest.raises(InputError, match="no Service with an address inside the cluster leads to the gateway"):
        inside_url(Inventory(), [], "gateway", None)
    port = GatewayPort(80, GATEWAY, 8080, 80, cluster_address="10.0.0.7")
    monkeypatch.setattr("runner.mesh.cluster.job_host.find_port", lambda *_: port)
    entry = inside_url(Inventory(), [], "gateway", "shop.example")
    assert (entry.url, entry.headers, entry.command) == ("http://10.0.0.7:80", {"Host": "shop.example"}, ())
    assert inside_url(Inventory(), [], "client", "reviews:9080").url == "http://reviews:9080"
