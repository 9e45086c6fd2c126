"""The pods of a namespace and the gateway's: which have a sidecar, which workload each belongs to, and whether they are well."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.mesh.cluster.errors import StatusError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.mesh.cluster.api import Api

PROXY = "istio-proxy"
"""The sidecar's container, also that of a gateway."""

LOAD_FROM = "meshtrial.dev/load-from"
"""Label of a load generator's pod that has a workload's place in the network: that workload, to which what its sidecar counts belongs."""

_HASH = "pod-template-hash"
_AMBIENT = ("istio.io/dataplane-mode", "ambient.istio.io/redirection")


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod.

    Attributes:
        name: its name in Kubernetes.
        namespace: where it lives.
        workload: the Deployment, StatefulSet or DaemonSet it belongs to; its own name when it stands alone; of a load generator the
            workload whose place it has.
        labels: its labels.
        proxied: whether it has a sidecar, or is a proxy itself.
        gateway: whether it is a gateway.
        ready: whether Kubernetes sends it traffic.
        restarts: how often each of its containers was restarted.
        ended: why a container ended last, by container.
        revision: Istio's revision that injected the sidecar.
        ambient: whether ztunnel takes its traffic, or it is a waypoint.
        uid: its identity.
        annotations: its annotations.
        node: where it runs.
        waiting: why a container can't start, in Kubernetes' words.
        ports: container ports by name.
        containers: those of the application, in order.
        ip: its address; empty as long as it has none.
        probed: whether the application says itself when it serves, by readinessProbes.
    """

    name: str
    namespace: str
    workload: str
    labels: dict[str, str]
    proxied: bool
    gateway: bool
    ready: bool
    restarts: dict[str, int]
    ended: dict[str, str] = field(default_factory=dict)
    revision: str = ""
    ambient: bool = False
    uid: str = ""
    annotations: dict[str, str] = field(default_factory=dict)
    node: str = ""
    waiting: str = ""
    ports: dict[str, int] = field(default_factory=dict)
    containers: tuple[str, ...] = ()
    ip: str = ""
    probed: bool = False

    @property
    def proxy_id(self) -> str:
        """What istiod calls its proxy."""
        return f"{self.name}.{self.namespace}"


def pod_of(item: Mapping[str, Any]) -> Pod:
    """A pod as the API server shows it."""
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    labels = dict(metadata.get("labels") or {})
    annotations = dict(metadata.get("annotations") or {})
    containers = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    states = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]
    conditions = {entry["type"]: entry["status"] for entry in status.get("conditions") or []}
    names = {container["name"] for container in containers}
    environment = {
        entry.get("name"): entry.get("value")
        for container in containers
        if container["name"] == PROXY
        for entry in container.get("env") or []
    }
    router = any("router" in (container.get("args") or []) for container in containers if container["name"] == PROXY)
    waypoint = any(
        "waypoint" in (container.get("args") or []) for container in containers if container["name"] == PROXY
    )
    waiting = [state["state"]["waiting"] for state in states if (state.get("state") or {}).get("waiting")]
    return Pod(
        name=metadata["name"],
        namespace=metadata["namespace"],
        workload=_workload(metadata, labels),
        labels=labels,
        proxied=PROXY in names and not waypoint,
        gateway=PROXY in names and router,
        ready=conditions.get("Ready") == "True" and not metadata.get("deletionTimestamp"),
        restarts={state["name"]: int(state.get("restartCount") or 0) for state in states},
        ended={state["name"]: _how(state) for state in states if (state.get("lastState") or {}).get("terminated")},
        revision=labels.get("istio.io/rev")
        or annotations.get("istio.io/rev")
        or str(environment.get("REVISION") or ""),
        ambient=waypoint or any(labels.get(key) == "ambient" or annotations.get(key) == "enabled" for key in _AMBIENT),
        uid=str(metadata.get("uid") or ""),
        annotations=annotations,
        node=str(spec.get("nodeName") or ""),
        waiting="; ".join(f"{entry.get('reason', '')} {entry.get('message', '')}".strip() for entry in waiting),
        ports={
            port["name"]: int(port["containerPort"])
            for container in containers
            for port in container.get("ports") or []
            if port.get("name")
        },
        containers=tuple(item["name"] for item in spec.get("containers") or [] if item["name"] != PROXY),
        ip=str(status.get("podIP") or ""),
        probed=any(item.get("readinessProbe") for item in spec.get("containers") or [] if item["name"] != PROXY),
    )


def _workload(metadata: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    if labels.get(LOAD_FROM):
        return labels[LOAD_FROM]
    owners = [owner for owner in metadata.get("ownerReferences") or [] if owner.get("controller")]
    if not owners:
        return str(metadata["name"])
    owner, suffix = owners[0], "-" + labels.get(_HASH, "")
    name = str(owner["name"])
    return name.removesuffix(suffix) if owner["kind"] == "ReplicaSet" and len(suffix) > 1 else name


def _how(state: Mapping[str, Any]) -> str:
    ended = state["lastState"]["terminated"]
    return f"{ended.get('reason') or 'ended'}, exit code {ended.get('exitCode')}"


def list_pods(api: Api, namespace: str, labels: Mapping[str, str] | None = None) -> list[Pod]:
    """The pods of a namespace that are not finished or about to go, by name.

    Raises:
        MeshError: the server can't be asked.
    """
    query = {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())} if labels else None
    items = api.get(f"/api/v1/namespaces/{namespace}/pods", query).get("items") or []
    alive = [
        item
        for item in items
        if not item["metadata"].get("deletionTimestamp")
        and (item.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}
    ]
    return sorted((pod_of(item) for item in alive), key=lambda pod: pod.name)


def gateway_pods(api: Api, selectors: Iterable[Mapping[str, str]]) -> tuple[list[Pod], list[str]]:
    """The pods that Gateways select, wherever they are, and what could not be looked at.

    Istio looks for a Gateway's pods in all namespaces (`PILOT_SCOPE_GATEWAY_TO_NAMESPACE` is off by default). Without the right to
    list pods of all of them, those of `istio-system` and `istio-ingress` are looked at.
    """
    found: dict[str, Pod] = {}
    problems: list[str] = []
    for selector in selectors:
        labels = dict(selector)
        try:
            pods = _everywhere(api, labels)
        except StatusError as error:
            if not error.forbidden:
                raise
            pods = []
            unseen = []
            for namespace in ("istio-system", "istio-ingress"):
                try:
                    pods += list_pods(api, namespace, labels)
                except StatusError as again:
                    if not again.forbidden:
                        raise
                    unseen.append(f"pods of {namespace} can't be listed, so its gateway's proxies are not looked at")
            problems += [] if pods else unseen  # where the gateway was found, the other namespace is none of ours
        found.update({pod.proxy_id: pod for pod in pods if pod.proxied})
    return sorted(found.values(), key=lambda pod: pod.name), list(dict.fromkeys(problems))


def _everywhere(api: Api, labels: Mapping[str, str]) -> list[Pod]:
    query = {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())}
    items = api.get("/api/v1/pods", query).get("items") or []
    return [pod_of(item) for item in items if not item["metadata"].get("deletionTimestamp")]


def proxy_names(pods: Sequence[Pod]) -> dict[str, Pod]:
    """Proxies by the name that reports use: the workload's, and with several replicas `WORKLOAD-0` and so on."""
    by_workload: dict[str, list[Pod]] = {}
    for pod in pods:
        if pod.proxied:
            by_workload.setdefault(pod.workload, []).append(pod)
    return {
        (f"{workload}-{index}" if len(group) > 1 else workload): pod
        for workload, group in by_workload.items()
        for index, pod in enumerate(sorted(group, key=lambda item: (item.namespace, item.name)))
    }
