"""The pods of a namespace as lint knows them, with the identities that they have or will have: those of what a run deploys count too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.istio.inventory import PodLabels
from runner.istio.kube import Deployment
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.expect import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.istio.resource import Resource
    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.pods import Pod

_DEFAULT = "default"
"""The service account of pods that name none."""


def service_accounts(api: Api, namespace: str) -> dict[str, str]:
    """The service account of each pod of a namespace, by the pod's name; none where pods may not be listed.

    Raises:
        MeshError: the server can't be asked.
    """
    try:
        items = api.get(f"/api/v1/namespaces/{namespace}/pods").get("items") or []
    except StatusError:
        return {}
    return {item["metadata"]["name"]: (item.get("spec") or {}).get("serviceAccountName") or _DEFAULT for item in items}


def pod_labels(api: Api, namespace: str, pods: Sequence[Pod], state: Sequence[Resource]) -> list[PodLabels]:
    """The pods that a state is for.

    Args:
        api: asked for service accounts.
        namespace: of the run.
        pods: those that are there, of the namespace and of gateways.
        state: whose Deployments say what new pods will be; a pod that belongs to one of them gets its service account.

    Returns:
        None where there are no pods at all. Pods of other namespaces have no service account: not all of those are known.

    Raises:
        MeshError: the server can't be asked.
    """
    if not pods:
        return []
    accounts = service_accounts(api, namespace)
    templates = list(_templates(namespace, state))
    found = []
    for pod in pods:
        account = accounts.get(pod.name, "") if pod.namespace == namespace else ""
        if pod.namespace == namespace:
            of_it = (one.service_account for one in templates if one.labels.items() <= pod.labels.items())
            account = next(of_it, account)
        found.append(
            PodLabels(namespace=pod.namespace, labels=pod.labels, sidecar=pod.proxied, service_account=account)
        )
    here = [pod for pod in pods if pod.namespace == namespace]
    new = [one for one in templates if not any(one.labels.items() <= pod.labels.items() for pod in here)]
    return [*found, *new]


def _templates(namespace: str, state: Sequence[Resource]) -> Iterator[PodLabels]:
    for resource in state:
        spec = kind_of(resource) if resource.key.kind == "Deployment" and resource.key.namespace == namespace else None
        if isinstance(spec, Deployment) and spec.replicas:
            yield PodLabels(
                namespace=namespace,
                labels=spec.labels,
                replicas=spec.replicas,
                sidecar=spec.sidecar is not False,
                service_account=spec.service_account_name,
            )
