"""Reading the facts of a cluster for `doctor`: each by itself, so that one that is forbidden or broken leaves the others.

Nothing is changed: what an experiment would apply is tried by server-side dry runs.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from kubernetes.client import ApiClient

from runner.errors import MeshError
from runner.istio.kinds import KINDS
from runner.mesh.cluster.admin import HttpOverPod
from runner.mesh.cluster.api import segment
from runner.mesh.cluster.doctor_facts import (
    ClusterFacts,
    ControlPlane,
    IstiodFacts,
    NamespaceFacts,
    Owner,
    PrometheusFacts,
    Refusal,
    ServerFacts,
    ServiceFacts,
    ServicePort,
    Unknown,
)
from runner.mesh.cluster.doctor_proxies import read_prometheus, read_proxies
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.inventory import no_namespace
from runner.mesh.cluster.istiod import Istiod
from runner.mesh.cluster.kinds import Places
from runner.mesh.cluster.objects import resource_of
from runner.mesh.cluster.permissions import ISTIO_NAMESPACE, review
from runner.mesh.cluster.pods import gateway_pods, list_pods
from runner.mesh.cluster.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runner.istio.resource import Resource
    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.pods import Pod
    from runner.mesh.finding import Demands

_MONITORING = 15014
_CONFLICTING = ("VirtualService", "DestinationRule", "Gateway")
_OWNERS = {
    "Canary": ("/apis/flagger.app/v1beta1", "canaries"),
    "Rollout": ("/apis/argoproj.io/v1alpha1", "rollouts"),
}

Fact = TypeVar("Fact")


def read_cluster(api: Api, namespace: str, demands: Sequence[Demands]) -> ClusterFacts:
    """Everything that `doctor` looks at.

    Args:
        api: the server.
        namespace: of the experiments.
        demands: what they need.

    Raises:
        InputError: there is no such namespace.
        MeshError: the API server can't be reached, or does not know us; nothing else is worth asking then.
    """
    server = read_server(api)
    places = Places(api)
    pods = _try(lambda: tuple(list_pods(api, namespace)))
    proxies, silent = read_proxies(api, () if isinstance(pods, Unknown) else pods)
    return ClusterFacts(
        server=server,
        namespace=_try(lambda: _namespace(api, namespace)),
        denied=_try(lambda: tuple(review(api, namespace))),
        kinds=_try(lambda: _kinds(places)),
        control=_try(lambda: _control(api, namespace)),
        pods=pods,
        proxies=proxies,
        silent=silent,
        services=_try(lambda: _services(api, namespace)),
        here=_try(lambda: tuple(_config(api, places, namespace))),
        elsewhere=_try(lambda: tuple(item for item in _config(api, places, None) if item.key.namespace != namespace)),
        owners=_try(lambda: tuple(_owners(api))),
        prometheus=_prometheus(api, demands),
        gateways={item.experiment: _try(partial(_gateways, api, places, namespace, item)) for item in demands},
        refused={item.experiment: _try(partial(_dry_run, api, places, namespace, item)) for item in demands},
    )


def _prometheus(api: Api, demands: Sequence[Demands]) -> PrometheusFacts | Unknown:
    asking = [item for item in demands if item.promql]
    if not asking:
        return Unknown("not looked for")
    return read_prometheus(api, next((item.prometheus for item in asking if item.prometheus), None))


def _try(read: Callable[[], Fact]) -> Fact | Unknown:
    try:
        return read()
    except StatusError as error:
        return Unknown(error.message if error.forbidden else str(error))
    except MeshError as error:
        return Unknown(str(error))


def read_server(api: Api) -> ServerFacts:
    """The API server's version and clock.

    Raises:
        MeshError: it can't be reached.
    """
    version = str(api.get("/version").get("gitVersion") or "unknown")
    client = ApiClient(api.configuration)
    before = time.time()
    response = client.call_api("GET", api.url("/version"), header_params=api.headers(), _request_timeout=5.0)
    response.read()
    after = time.time()
    return ServerFacts(api.server, api.context, version, skew(response.headers.get("Date"), before, after))


def skew(date: str | None, before: float, after: float) -> tuple[float, float] | None:
    """How far our clock is behind the server's, at least and at most, in seconds; None without a Date that can be read.

    The server wrote its time, whole seconds, somewhere between our `before` and `after`.
    """
    try:
        there = parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError):
        return None
    return there - after, there + 1.0 - before


def _namespace(api: Api, name: str) -> NamespaceFacts:
    try:
        item = api.get(f"/api/v1/namespaces/{segment(name)}")
    except StatusError as error:
        if error.not_found:
            raise no_namespace(api, name) from None
        raise
    metadata = item["metadata"]
    return NamespaceFacts(name, dict(metadata.get("labels") or {}), bool(metadata.get("deletionTimestamp")))


def _kinds(places: Places) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for kind in KINDS:
        place = places.find(kind)
        found[kind] = place.api_version if place else None
    return found


def _control(api: Api, namespace: str) -> ControlPlane:
    pods = list_pods(api, ISTIO_NAMESPACE, {"app": "istiod"})
    istiod = Istiod.find(api)
    try:
        connected = frozenset(istiod.syncs(namespace)) if istiod.there else None
    except ValueError as error:
        raise MeshError(f"istiod's answer can't be understood: {error}") from None
    finally:
        istiod.close()
    found = [
        IstiodFacts(
            pod.name,
            pod.labels.get("istio.io/rev", ""),
            pod.ready,
            _istio_version(api, pod) if connected is not None and pod.ready else "",
        )
        for pod in pods
    ]
    return ControlPlane(tuple(found), connected, istiod.why_not, _tags(api))


def _istio_version(api: Api, pod: Pod) -> str:
    """`1.31.0` of `1.31.0-<commit>-Clean`; empty when it does not tell."""
    way = HttpOverPod(api, pod.namespace, pod.name, _MONITORING)
    try:
        return way.get("/version").strip().partition("-")[0]
    except MeshError:
        return ""
    finally:
        way.close()


def _tags(api: Api) -> frozenset[str] | None:
    """Revisions and tags that have a webhook (`istioctl tag list`)."""
    try:
        items = api.get("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations").get("items") or []
    except StatusError:
        return None
    labels = [item["metadata"].get("labels") or {} for item in items]
    named = {entry[key] for entry in labels for key in ("istio.io/rev", "istio.io/tag") if entry.get(key)}
    return frozenset(named)


def _services(api: Api, namespace: str) -> tuple[ServiceFacts, ...]:
    items = api.get(f"/api/v1/namespaces/{segment(namespace)}/services").get("items") or []
    return tuple(_service(item) for item in items)


def _service(item: dict[str, Any]) -> ServiceFacts:
    name, spec = str(item["metadata"]["name"]), item.get("spec") or {}
    ports = tuple(
        ServicePort(name, str(port.get("name") or ""), int(port["port"]), str(port.get("appProtocol") or ""))
        for port in spec.get("ports") or []
        if port.get("protocol", "TCP") == "TCP"
    )
    return ServiceFacts(name, dict(spec.get("selector") or {}), ports)


def _config(api: Api, places: Places, namespace: str | None) -> Iterator[Resource]:
    """VirtualServices, DestinationRules and Gateways of a namespace, or of all."""
    for kind in _CONFLICTING:
        place = places.find(kind)
        if place is None:
            continue
        path = place.path(namespace) if namespace else f"/apis/{place.group}/{place.version}/{place.plural}"
        for item in api.get(path).get("items") or []:
            yield resource_of(item, place, api.context)


def _owners(api: Api) -> Iterator[Owner]:
    for kind, (root, plural) in _OWNERS.items():
        try:
            items = api.get(f"{root}/{plural}").get("items") or []
        except StatusError as error:
            if error.not_found:
                continue  # no such thing is installed
            raise
        for item in items:
            metadata = item["metadata"]
            namespace = str(metadata.get("namespace") or "")
            yield Owner(f"{kind} {namespace}/{metadata['name']}", namespace, owner_targets(item))


def owner_targets(item: dict[str, Any]) -> frozenset[str]:
    """What a Canary (Flagger) or Rollout (Argo) drives: names of workloads, services, VirtualServices and DestinationRules."""
    spec = item.get("spec") or {}
    target = str((spec.get("targetRef") or {}).get("name") or "")
    service = str((spec.get("service") or {}).get("name") or target)
    canary = (spec.get("strategy") or {}).get("canary") or {}
    istio = (canary.get("trafficRouting") or {}).get("istio") or {}
    services = [istio.get("virtualService") or {}, *(istio.get("virtualServices") or [])]
    names = [target, service, *(part.get("name") for part in services)]
    names += [(istio.get("destinationRule") or {}).get("name")]
    names += [canary.get("stableService"), canary.get("canaryService")]
    names += [(spec.get("workloadRef") or {}).get("name"), item["metadata"]["name"]]
    return frozenset(str(name) for name in names if name)


def _gateways(api: Api, places: Places, namespace: str, demands: Demands) -> int | Unknown:
    """How many ready pods the Gateways of an experiment, and of the namespace, select."""
    gateways = [resource for resource in demands.resources if resource.key.kind == "Gateway"]
    place = places.find("Gateway")
    if place is not None:
        items = api.get(place.path(namespace)).get("items") or []
        gateways += [resource_of(item, place, api.context) for item in items]
    selectors = [dict(resource.spec.get("selector") or {}) for resource in gateways] or [_shipped_selector()]
    pods, problems = gateway_pods(api, [selector for selector in selectors if selector])
    if not pods and problems:
        return Unknown("; ".join(problems))
    return sum(pod.ready for pod in pods)


def _shipped_selector() -> dict[str, str]:
    """What the Gateway that a run brings with its app selects (istio's own default)."""
    return {"istio": "ingressgateway"}


def _dry_run(api: Api, places: Places, namespace: str, demands: Demands) -> tuple[Refusal, ...]:
    """Have the server try every resource: its schema, its validation, its webhooks."""
    store = Store(api, places, namespace)
    store.read()
    refused = [
        Refusal(resource, f"the cluster does not know the kind {resource.key.kind}")
        for resource in demands.resources
        if places.find(resource.key.kind) is None
    ]
    unknown = {item.resource.key for item in refused}
    tried = [resource for resource in demands.resources if resource.key not in unknown]
    return (*refused, *(Refusal(resource, error.message) for resource, error in store.try_out(tried)))
