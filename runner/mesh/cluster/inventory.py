"""What a cluster is, found out when it is opened: that Istio is there, that sidecars are, and that ambient mode is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.errors import InputError, MeshError, Problem
from runner.istio.destination_rule import DestinationRule
from runner.istio.gateway import Gateway
from runner.istio.hosts import full_host
from runner.istio.virtual_service import VirtualService
from runner.mesh.cluster.api import segment
from runner.mesh.cluster.entry import gateway_services
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.expect import kind_of
from runner.mesh.cluster.job import GENERATOR
from runner.mesh.cluster.pods import gateway_pods, list_pods
from runner.yamlfile.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.istio.resource import Resource
    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.pods import Pod
    from runner.mesh.cluster.store import Store

DEFAULT_GATEWAY = {"istio": "ingressgateway"}
"""Labels of the gateway that Istio's own charts install, which is looked at even before a Gateway names it."""

_MODE = "istio.io/dataplane-mode"


@dataclass(frozen=True, slots=True)
class Inventory:
    """What runs there.

    Attributes:
        pods: of the namespace.
        gateways: gateway pods, wherever they are.
        services: the Services before those, as the API server shows them.
        notes: what could not be looked at.
    """

    pods: list[Pod] = field(default_factory=list)
    gateways: list[Pod] = field(default_factory=list)
    services: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def everyone(self) -> list[Pod]:
        """All pods, each once."""
        return list({pod.proxy_id: pod for pod in (*self.pods, *self.gateways)}.values())


def refuse_unusable(api: Api, store: Store, namespace: str) -> dict[str, str]:
    """Check that the cluster answers, that the namespace exists and that Istio is installed.

    Returns:
        The namespace's labels; none when we may not look at it.

    Raises:
        InputError: there is no such namespace.
        MeshError: the cluster can't be used, or the namespace is being deleted.
    """
    api.get("/version")
    labels: dict[str, str] = {}
    try:
        found = api.get(f"/api/v1/namespaces/{segment(namespace)}").get("metadata") or {}
        labels = found.get("labels") or {}
        if found.get("deletionTimestamp"):
            raise MeshError(f"the namespace {namespace} is being deleted", advice="Name another with --namespace")
    except StatusError as error:
        if error.not_found:
            raise no_namespace(api, namespace) from None
        if not error.forbidden:
            raise
    if labels.get(_MODE) == "ambient":
        raise _ambient(f"the namespace {namespace} is labelled {_MODE}=ambient")
    if store.places.find("VirtualService") is None:
        raise MeshError(
            f"the cluster at {api.server} (context {api.context}) does not know the kind VirtualService: Istio is not installed",
            advice="`istioctl install` installs it",
        )
    return labels


def no_namespace(api: Api, namespace: str) -> InputError:
    """There is no such namespace: with the nearest name, where they may be listed."""
    try:
        names = [item["metadata"]["name"] for item in api.get("/api/v1/namespaces").get("items") or []]
    except StatusError:
        names = []
    return InputError(
        Problem(
            f"the cluster of the context {api.context} has no namespace {namespace}",
            expected="one of " + ", ".join(names) if names else None,
            suggestion=suggest(namespace, names),
        )
    )


def take_inventory(api: Api, namespace: str, resources: Sequence[Resource]) -> Inventory:
    """The pods of a namespace and of the gateways.

    Args:
        api: the cluster.
        namespace: the experiment's.
        resources: what is applied there, for its Gateways' selectors.

    Raises:
        MeshError: the server can't be asked, or pods are in ambient mode.
    """
    pods = list_pods(api, namespace)
    ambient = [pod.name for pod in pods if pod.ambient]
    if ambient:
        raise _ambient(f"{ambient[0]} is in ambient mode")
    selectors = [DEFAULT_GATEWAY]
    selectors += [spec.selector for item in resources if isinstance(spec := kind_of(item), Gateway) and spec.selector]
    gateways, notes = gateway_pods(api, [dict(pair) for pair in {tuple(sorted(item.items())) for item in selectors}])
    services, more = gateway_services(api, gateways)
    return Inventory(
        [pod for pod in pods if not pod.gateway], [pod for pod in gateways if pod.ready], services, [*notes, *more]
    )


def _ambient(why: str) -> MeshError:
    return MeshError(
        f"{why}: ztunnel and waypoints instead of sidecars, whose config and counters this version can't read",
        advice="Use a namespace with sidecars (istio-injection=enabled, or istio.io/rev=REVISION)",
    )


def refuse_without_sidecars(inventory: Inventory, namespace: str) -> None:
    """Check that there is something to experiment on.

    Raises:
        MeshError: no pod, none with a sidecar, or some that are not ready.
    """
    if not inventory.pods:
        raise MeshError(f"no pod runs in the namespace {namespace}", advice="Deploy the app there, or use --namespace")
    if not any(pod.proxied for pod in inventory.pods):
        raise MeshError(
            f"no pod in the namespace {namespace} has a sidecar, so nothing there would obey Istio's config",
            advice=(
                f"`kubectl label namespace {namespace} istio-injection=enabled` (with a revision: istio.io/rev=REVISION), then "
                "restart its workloads"
            ),
        )
    waiting = [pod for pod in inventory.pods if pod.proxied and not pod.ready]
    if waiting:
        words = "; ".join(f"{pod.name}{f' ({pod.waiting})' if pod.waiting else ''}" for pod in waiting[:3])
        raise MeshError(
            f"not all pods in {namespace} are ready: {words}", advice="Wait for them, or repair them, and run again"
        )


def beside_sidecars(inventory: Inventory, services: Sequence[Resource]) -> dict[str, dict[str, list[str]]]:
    """By service, by workload with sidecars behind it (none where there is no such), the pods without one that get its requests too.

    Load generators' pods and such as are not ready get none.

    Args:
        inventory: what runs there.
        services: of the namespace.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for service in services:
        selector = (service.spec.get("selector") or {}).items()
        behind = [pod for pod in inventory.pods if selector and selector <= pod.labels.items()]
        bare = [pod.name for pod in behind if pod.ready and not pod.proxied and GENERATOR not in pod.labels]
        if bare:
            found[service.key.name] = {pod.workload: bare for pod in behind if pod.proxied} or {"": bare}
    return found


def warn_of_bare(
    bare: Mapping[str, Mapping[str, Sequence[str]]], resources: Sequence[Resource], namespace: str
) -> list[str]:
    """What pods without a sidecar mean for an experiment, a sentence for each service that has some.

    Args:
        bare: as `beside_sidecars` found them.
        resources: the state wanted, for the hosts that its routes and policies name.
        namespace: the experiment's.
    """
    named = {full_host(host, item.key.namespace or namespace) for item in resources for host in _named(kind_of(item))}
    told = []
    for service, workloads in sorted(bare.items()):
        pods = sorted({pod for names in workloads.values() for pod in names})
        which = f"{', '.join(pods[:3])}{f' and {len(pods) - 3} more' if len(pods) > 3 else ''}"  # noqa: PLR2004
        if "" not in workloads:
            told.append(
                f"{service} has pods with a sidecar and without ({which}): requests to the latter and calls from them pass routes, "
                "faults, policies and counters by, so what is measured is a mixture. Give them sidecars (injection, then "
                "`kubectl rollout restart`), or scale them down"
            )
        elif full_host(service, namespace) in named:
            told.append(
                f"no pod behind {service}, which the experiment's config names, has a sidecar ({which}): callers' proxies obey it, "
                "but what these pods call, and policies for them, do not"
            )
    return told


def _named(spec: object) -> Sequence[str]:
    if isinstance(spec, VirtualService):
        return spec.hosts
    return [spec.host] if isinstance(spec, DestinationRule) else []


def workloads_by_service(inventory: Inventory, services: Sequence[Resource]) -> dict[str, list[str]]:
    """By service, the workloads behind it; one without a Service stands under its `app` label.

    Args:
        inventory: what runs there.
        services: of the namespace.
    """
    found: dict[str, list[str]] = {}
    places = [(service.key.name, service.spec, inventory.pods) for service in services]
    places += [(item["metadata"]["name"], item["spec"], inventory.gateways) for item in inventory.services]
    for name, spec, pods in places:
        selector = (spec.get("selector") or {}).items()
        behind = {pod.workload: None for pod in pods if selector and selector <= pod.labels.items()}
        if behind:
            found[name] = list(behind)
    behind_services = {workload for workloads in found.values() for workload in workloads}
    for pod in inventory.pods:  # one that only sends has no Service
        if pod.proxied and pod.workload not in behind_services:
            found.setdefault(pod.labels.get("app", pod.workload), []).append(pod.workload)
    return {name: list(dict.fromkeys(workloads)) for name, workloads in found.items()}
