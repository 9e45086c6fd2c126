"""The app that a run brings along: its Kubernetes objects as the embedded mesh declares them, made fit for a namespace."""

from __future__ import annotations

import copy
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runner.errors import InputError, MeshError, Problem
from runner.istio.load import load_manifests
from runner.mesh.cluster.api import segment
from runner.mesh.cluster.pods import list_pods
from runner.mesh.local.appfile import AppDeclaration, find_app
from runner.yamlfile.documents import read_documents, shown_path
from runner.yamlfile.problems import suggest, validate

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.cluster.api import Api

ROLLOUT_LIMIT = 300.0
"""The longest wait, in seconds, for the app's pods: images have to be pulled."""

GONE_LIMIT = 60.0
"""The longest wait, in seconds, for pods to be told to end."""

PROXY_CONFIG = json.dumps(
    {
        "drainDuration": "5s",
        "proxyStatsMatcher": {
            "inclusionRegexps": [
                r"(cluster|http)\.(outbound|inbound).*",
                r"listener\..*\.(ssl\..*|no_filter_chain_match)",
                r"tcp\.rbac\..*",
            ]
        },
    }
)
"""Sidecars keep hardly any of Envoy's counters by default (Istio's bootstrap); the ones that checks read are of these: calls, refusals
by policies (`rbac`), and handshakes and connections that a proxy does not take (mutual TLS). Each trial waits for connections that are
served by the policies of the one before, 45 s where nobody says another drain time."""

_POLL = 0.5
_PULL_LIMIT = 60.0
_CANT_PULL = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")


def app_resources(app: str, namespace: str, images: Mapping[str, str], labels: Mapping[str, str]) -> list[Resource]:
    """Everything that an app is made of, for one namespace.

    Args:
        app: a shipped app's name, or the path of an app file.
        namespace: where it is to run.
        images: other images, by Deployment.
        labels: more labels for its pods, such as those that ask for a sidecar.

    Raises:
        InputError: there is no such app, or no such Deployment.
    """
    path = find_app(app)
    declared = validate(AppDeclaration, read_documents(path, shown_path(path))[0])
    found = [
        resource
        for file in (*declared.manifests, *declared.base)
        for resource in load_manifests(path.parent / file, shown_path(path.parent / file), namespace=namespace)
    ]
    deployments = [item.key.name for item in found if item.key.kind == "Deployment"]
    for name in images:
        if name not in deployments:
            raise InputError(
                Problem(
                    f'images: the app {declared.app} has no Deployment "{name}"',
                    expected="one of " + ", ".join(deployments),
                    suggestion=suggest(name, deployments),
                )
            )
    return [_fitted(item, images, labels) for item in found]


def _fitted(resource: Resource, images: Mapping[str, str], labels: Mapping[str, str]) -> Resource:
    if resource.key.kind != "Deployment":
        return resource
    body = copy.deepcopy(resource.body)
    template: dict[str, Any] = body["spec"]["template"]
    metadata = template.setdefault("metadata", {})
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    metadata["annotations"] = {"proxy.istio.io/config": PROXY_CONFIG, **(metadata.get("annotations") or {})}
    image = images.get(resource.key.name)
    if image:
        template["spec"]["containers"][0]["image"] = image
    return replace(resource, body=body, parsed={})


def injection_labels(namespace_labels: Mapping[str, str], revisions: Collection[str]) -> dict[str, str]:
    """The labels that make istiod put sidecars into pods of a namespace; none where the namespace asks for them itself.

    Args:
        namespace_labels: the namespace's own.
        revisions: of the istiods that run.
    """
    if namespace_labels.get("istio-injection") == "enabled" or namespace_labels.get("istio.io/rev"):
        return {}
    named = sorted(revision for revision in revisions if revision not in {"", "default"})
    return {
        "sidecar.istio.io/inject": "true",
        **({"istio.io/rev": named[-1]} if named and "default" not in revisions else {}),
    }


def wait_for_rollout(api: Api, namespace: str, keys: Sequence[ResourceKey]) -> None:
    """Return once every pod of these Deployments is there and ready.

    Raises:
        MeshError: one does not become ready; says why.
    """
    begun = time.monotonic()
    while True:
        late = [key.name for key in keys if not _is_rolled_out(api, namespace, key.name)]
        if not late:
            return
        waited = time.monotonic() - begun
        pods = [pod for pod in list_pods(api, namespace) if pod.workload in late and not pod.ready]
        stuck = [pod for pod in pods if any(word in pod.waiting for word in _CANT_PULL)]
        if waited > ROLLOUT_LIMIT or (stuck and waited > _PULL_LIMIT):
            words = [f"{pod.name} ({pod.waiting})" if pod.waiting else pod.name for pod in (stuck or pods)[:3]]
            raise MeshError(
                f"{', '.join(late)} did not become ready within {waited:.0f} s: {'; '.join(words) or 'no pod was made'}",
                advice="mesh.cluster.images names other images, by Deployment"
                if stuck
                else "`kubectl describe pod` says more",
            )
        time.sleep(_POLL)


def _is_rolled_out(api: Api, namespace: str, name: str) -> bool:
    item = api.get(f"/apis/apps/v1/namespaces/{segment(namespace)}/deployments/{segment(name)}")
    status, wanted = item.get("status") or {}, int(item["spec"].get("replicas", 1))
    return (
        int(status.get("observedGeneration") or 0) >= int(item["metadata"]["generation"])
        and int(status.get("updatedReplicas") or 0) >= wanted
        and int(status.get("availableReplicas") or 0) >= wanted
        and int(status.get("replicas") or 0) <= wanted
    )


def wait_until_gone(api: Api, namespace: str, keys: Sequence[ResourceKey]) -> None:
    """Return once no pod of these Deployments serves any more (one that is about to end counts as gone).

    Raises:
        MeshError: some stay.
    """
    names = {key.name for key in keys}
    deadline = time.monotonic() + GONE_LIMIT
    while True:
        left = [pod.name for pod in list_pods(api, namespace) if pod.workload in names]
        if not left:
            return
        if time.monotonic() > deadline:
            raise MeshError(
                f"pods that should be gone are still there: {', '.join(left[:3])}", advice="Look at their finalizers"
            )
        time.sleep(_POLL)
