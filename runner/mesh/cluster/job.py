"""The Job that holds the pods of Locust's workers, as the API server is given it.

Its pods take a workload's place in the network: its service account, its labels and its sidecar's settings, so that routes, policies and
telemetry see that workload. Only labels by which a Service would send the pods requests are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.mesh.cluster.app import PROXY_CONFIG
from runner.mesh.cluster.pods import LOAD_FROM

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.spec.mesh import GeneratorPods

GENERATOR = "meshtrial.dev/generator"
"""Label of the pods, and of the Job: the Job's name."""
MANAGED_BY = {"app.kubernetes.io/managed-by": "meshtrial"}
CONTAINER = "generator"
CPU = "1"
"""Request for each pod where nobody says another one: what one Locust process can use."""
DEADLINE = 24 * 3600
"""Seconds; the last resort against a Job that nobody removes."""
TTL = 60
"""Seconds between the end of the last pod and the end of the Job, should nobody remove it."""

_NOT_COPIED = (
    "pod-template-hash",
    "controller-revision-hash",
    "controller-uid",
    "job-name",
    "batch.kubernetes.io/",
    "statefulset.kubernetes.io/",
    "apps.kubernetes.io/",
    "security.istio.io/tlsMode",
    "istio.io/rev",
    "sidecar.istio.io/inject",
    "app.kubernetes.io/managed-by",
)
_COPIED_ANNOTATIONS = ("proxy.istio.io/config", "sidecar.istio.io/", "traffic.sidecar.istio.io/")
_STATUS = "sidecar.istio.io/status"
_ANNOTATION = "proxy.istio.io/config"
_HOST = "kubernetes.io/hostname"
_USER = 10001


@dataclass(frozen=True, slots=True)
class Place:
    """Whose place in the network the pods have.

    Attributes:
        workload: the workload's name; empty for nobody's: pods without a sidecar, before the gateway.
        labels: for the pods.
        annotations: for the pods.
        service_account: theirs; the namespace's default when empty.
        lost: labels of the workload that they don't have, since a Service would send them requests.
    """

    workload: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    service_account: str = ""
    lost: tuple[str, ...] = ()


def place_of(
    workload: str, pod: Mapping[str, Any], selectors: Iterable[Mapping[str, str]], injection: Mapping[str, str]
) -> Place:
    """The place of a workload.

    Args:
        workload: its name.
        pod: one of its pods, as the API server shows it.
        selectors: of all Services in the namespace.
        injection: the labels that have a sidecar put into a pod.
    """
    metadata = pod["metadata"]
    labels = {
        key: str(value) for key, value in (metadata.get("labels") or {}).items() if not key.startswith(_NOT_COPIED)
    }
    lost: list[str] = []
    for selector in selectors:
        if selector and selector.items() <= labels.items():
            lost += selector
            labels = {key: value for key, value in labels.items() if key not in selector}
    annotations = {
        key: str(value)
        for key, value in (metadata.get("annotations") or {}).items()
        if key.startswith(_COPIED_ANNOTATIONS) and key != _STATUS
    }
    return Place(
        workload,
        {**labels, **injection, LOAD_FROM: workload},
        {_ANNOTATION: PROXY_CONFIG, **annotations},
        str((pod.get("spec") or {}).get("serviceAccountName") or ""),
        tuple(dict.fromkeys(lost)),
    )


OUTSIDE = Place(labels={"sidecar.istio.io/inject": "false"}, annotations={"sidecar.istio.io/inject": "false"})
"""Nobody's place: as a client outside the mesh."""


def job_body(
    name: str,
    namespace: str,
    number: int,
    command: Sequence[str],
    image: str,
    pods: GeneratorPods,
    place: Place,
    avoid: Sequence[tuple[str, Mapping[str, str]]] = (),
) -> dict[str, Any]:
    """The Job.

    Args:
        name: its name.
        namespace: where.
        number: how many pods.
        command: what holds each pod.
        image: what they run.
        pods: what else is said about them.
        place: whose place in the network they have.
        avoid: besides the namespace's own pods, namespaces and labels of pods that they should not share a node with.
    """
    ours = {**MANAGED_BY, GENERATOR: name}
    metadata = {"name": name, "namespace": namespace, "labels": ours}
    template = {
        "metadata": {
            "labels": {**place.labels, **ours},
            "annotations": {**place.annotations, "cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
        },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            **({"serviceAccountName": place.service_account} if place.service_account else {}),
            **({"nodeSelector": dict(pods.node_selector)} if pods.node_selector else {}),
            **(
                {"tolerations": [one.model_dump(exclude_none=True) for one in pods.tolerations]}
                if pods.tolerations
                else {}
            ),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": _apart(avoid)}},
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": _HOST,
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": {GENERATOR: name}},
                }
            ],
            "containers": [_container(command, image, pods, sidecar=bool(place.workload))],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "parallelism": number,
            "completions": number,
            "backoffLimit": 0,
            "activeDeadlineSeconds": DEADLINE,
            "ttlSecondsAfterFinished": TTL,
            "template": template,
        },
    }


def _container(command: Sequence[str], image: str, pods: GeneratorPods, *, sidecar: bool) -> dict[str, Any]:
    environ = {"HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1", **({"MESHTRIAL_SIDECAR": "1"} if sidecar else {})}  # noqa: S108
    return {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "workingDir": "/tmp",  # noqa: S108 - of the pod
        "env": [{"name": key, "value": value} for key, value in environ.items()],
        "resources": {"requests": {"cpu": pods.cpu or CPU, "memory": pods.memory}, "limits": {"memory": pods.memory}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - of the pod
    }


def _apart(avoid: Sequence[tuple[str, Mapping[str, str]]]) -> list[dict[str, Any]]:
    """Preferences only: a small cluster has no node to spare, and a load that is late makes its trial invalid anyway."""
    terms: list[dict[str, Any]] = [
        {
            "topologyKey": _HOST,
            "labelSelector": {"matchExpressions": [{"key": GENERATOR, "operator": "DoesNotExist"}]},
        }
    ]
    terms += [
        {"topologyKey": _HOST, "namespaces": [namespace], "labelSelector": {"matchLabels": dict(labels)}}
        for namespace, labels in avoid
    ]
    return [{"weight": 100, "podAffinityTerm": term} for term in terms]
