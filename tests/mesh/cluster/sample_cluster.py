"""A cluster in which nothing stands in the way, as facts; tests change one of them."""

from runner.mesh.cluster.doctor_facts import (
    ClusterFacts,
    ControlPlane,
    IstiodFacts,
    NamespaceFacts,
    ProxyFacts,
    ServerFacts,
)
from runner.mesh.cluster.pods import Pod, pod_of

ISTIOD = IstiodFacts("istiod-1", "default", ready=True, version="1.31.0")


def pod(name="reviews-v1-abc", *, proxied=True, ready=True, labels=None, annotations=None, revision="default"):
    containers = [{"name": "app"}]
    if proxied:
        containers.append({"name": "istio-proxy", "env": [{"name": "REVISION", "value": revision}]})
    return pod_of(
        {
            "metadata": {
                "name": name,
                "namespace": "shop",
                "labels": {"app": "reviews", **(labels or {})},
                "annotations": annotations or {},
            },
            "spec": {"containers": containers},
            "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
        }
    )


def as_on_a_cluster(pod):
    """A pod of an embedded mesh as the cluster's code knows pods."""
    return Pod(
        pod.name,
        pod.namespace,
        pod.workload,
        pod.labels,
        proxied=True,
        gateway=pod.role == "gateway",
        ready=True,
        restarts={},
    )


REVIEWS = pod()
GOOD = ClusterFacts(
    server=ServerFacts("https://127.0.0.1:6443", "rig", "v1.34.4", (-0.3, 0.8)),
    namespace=NamespaceFacts("shop", {"istio-injection": "enabled"}),
    denied=(),
    kinds=dict.fromkeys(("VirtualService", "DestinationRule", "Gateway"), "networking.istio.io/v1"),
    control=ControlPlane((ISTIOD,), frozenset({REVIEWS.proxy_id}), tags=frozenset({"default"})),
    pods=(REVIEWS,),
    proxies=(ProxyFacts(REVIEWS, "1.31.0", None, logs=True),),
)
