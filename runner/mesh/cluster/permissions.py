"""The one list of what a run may need to do on a cluster, from which the shipped Roles are made and `doctor` asks.

Each entry is a line of a Role: an API group, a resource and the verbs. Nothing is asked for that no module of this room calls.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.mesh.cluster.scopes import NETWORKING, POLICIES, ROUTING, Permission, Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.mesh.cluster.api import Api

__all__ = [
    "ISTIO_NAMESPACE",
    "NETWORKING",
    "PERMISSIONS",
    "Denied",
    "Permission",
    "Scope",
    "namespace_of",
    "review",
    "rules",
]

ISTIO_NAMESPACE = "istio-system"
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_AT_ONCE = 16
_CHANGE = ("get", "list", "create", "update", "delete")
_NAMED = ("get", "create", "update", "delete")


PERMISSIONS: tuple[Permission, ...] = (
    *(
        Permission(Scope.EXPERIMENT, group, kind, _CHANGE, "apply a variant's config and restore what was there")
        for group, kind in ROUTING
    ),
    *(
        Permission(
            Scope.POLICIES,
            group,
            kind,
            _CHANGE,
            "the same with policies, external services, and what else changes proxies",
            "experiments with them can't be run",
        )
        for group, kind in POLICIES
    ),
    *(
        Permission(
            Scope.MESH,
            group,
            kind,
            _CHANGE if kind == "peerauthentications" else _NAMED,
            "the same with config of the whole mesh; list tells which modes of mutual TLS to expect",
            "experiments with config of the whole mesh can't be run",
        )
        for group, kind in (*ROUTING, *POLICIES)
    ),
    Permission(
        Scope.MESH,
        "coordination.k8s.io",
        "leases",
        _NAMED,
        "keep two runs from changing config of the whole mesh at once",
        "only this machine's commands are kept from each other there",
    ),
    Permission(Scope.EXPERIMENT, "", "pods", ("get", "list"), "find the proxies and see restarts"),
    Permission(
        Scope.EXPERIMENT,
        "",
        "pods/portforward",
        ("get", "create"),
        "ask the proxies what they hold and count (get is what websockets need, create too from Kubernetes 1.35 on)",
        "pilot-agent is run in each sidecar by exec instead, which costs the pod CPU time",
    ),
    Permission(
        Scope.EXPERIMENT,
        "",
        "pods/exec",
        ("get", "create"),
        "the same by pilot-agent, and fortio in a client pod",
        "load can't start in a client pod, and proxies are asked by port-forward only",
    ),
    Permission(
        Scope.EXPERIMENT, "", "pods/log", ("get",), "read access logs", "there are no access logs in the evidence"
    ),
    Permission(
        Scope.EXPERIMENT, "", "services", ("get", "list"), "know services and their ports", "services stay unknown"
    ),
    Permission(
        Scope.EXPERIMENT,
        "coordination.k8s.io",
        "leases",
        ("get", "create", "update", "delete"),
        "keep two machines from running experiments in a namespace at once",
        "only this machine's commands are kept from each other",
    ),
    Permission(
        Scope.EXPERIMENT,
        "",
        "namespaces",
        ("get",),
        "see whether sidecars are injected",
        "doctor can't tell whether sidecars are injected",
    ),
    Permission(
        Scope.EXPERIMENT,
        "metrics.k8s.io",
        "pods",
        ("list",),
        "read CPU and memory of proxies and applications",
        "the CPU time of proxies and applications is unknown",
    ),
    *(
        Permission(
            Scope.APP,
            group,
            resource,
            _CHANGE,
            "put the app and a client there when they are missing, and remove them",
            "the app must be there already",
        )
        for group, resource in (("apps", "deployments"), ("", "services"), ("", "serviceaccounts"))
    ),
    Permission(
        Scope.LOAD,
        "batch",
        "jobs",
        ("get", "list", "create", "delete"),
        "run Locust's workers in pods",
        "Locust can't be run inside the cluster",
    ),
    Permission(
        Scope.LOAD,
        "",
        "events",
        ("list",),
        "tell why a worker's pod could not be made",
        "a quota or policy that keeps workers' pods from being made is not named",
    ),
    Permission(
        Scope.ISTIO,
        "",
        "pods",
        ("get", "list"),
        "find istiod and the ingress gateway",
        "istiod is not asked, and the gateway's proxies are not looked at",
    ),
    Permission(
        Scope.ISTIO,
        "",
        "pods/portforward",
        ("get", "create"),
        "ask istiod which pushes were acknowledged, and the gateway's proxies and Prometheus",
        "config is confirmed by the sidecars alone, and PromQL needs a URL",
    ),
    Permission(
        Scope.ISTIO,
        "",
        "services",
        ("get", "list"),
        "find the gateway's address, and Prometheus",
        "the gateway is reached by port-forward",
    ),
    Permission(
        Scope.CLUSTER,
        "",
        "namespaces",
        ("list",),
        "suggest the namespace that was meant",
        "a mistyped namespace is refused without a suggestion",
    ),
    Permission(
        Scope.CLUSTER,
        "",
        "services",
        ("list",),
        "tell whether a host that a manifest names is there",
        "hosts in other namespaces can't be looked up",
    ),
    Permission(Scope.CLUSTER, "", "nodes", ("list",), "a NodePort's address", "the gateway's NodePort can't be used"),
    Permission(
        Scope.CLUSTER,
        "",
        "pods",
        ("list",),
        "gateways in other namespaces",
        f"gateways outside {ISTIO_NAMESPACE} are not seen",
    ),
    *(
        Permission(
            Scope.CLUSTER,
            group,
            resource,
            ("list",),
            "see who else configures or owns the same hosts",
            "conflicts with other namespaces, Flagger and Argo Rollouts are not seen",
        )
        for group, resource in (
            (NETWORKING, "virtualservices"),
            (NETWORKING, "destinationrules"),
            (NETWORKING, "gateways"),
            ("flagger.app", "canaries"),
            ("argoproj.io", "rollouts"),
            ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        )
    ),
)


@dataclass(frozen=True, slots=True)
class Denied:
    """What we may not do.

    Attributes:
        permission: the line.
        verbs: those of its verbs that are missing.
        reason: the server's own words, when it gave any.
    """

    permission: Permission
    verbs: tuple[str, ...]
    reason: str = ""


def namespace_of(permission: Permission, namespace: str) -> str:
    """Where a permission is asked for; empty for everywhere."""
    if permission.scope is Scope.CLUSTER:
        return ""
    return ISTIO_NAMESPACE if permission.scope in {Scope.ISTIO, Scope.MESH} else namespace


def review(api: Api, namespace: str, permissions: Iterable[Permission] = PERMISSIONS) -> list[Denied]:
    """Ask the API server about each verb (SelfSubjectAccessReview, as `kubectl auth can-i` does).

    Args:
        api: the server.
        namespace: of the experiment.
        permissions: which.

    Returns:
        Those of which at least one verb is missing.

    Raises:
        MeshError: it can't be asked.
    """
    wanted = [(permission, verb) for permission in permissions for verb in permission.verbs]
    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="reviews") as threads:
        answers = list(threads.map(lambda item: _allowed(api, namespace, *item), wanted))
    missing: dict[Permission, list[tuple[str, str]]] = {}
    for (permission, verb), (allowed, reason) in zip(wanted, answers, strict=True):
        if not allowed:
            missing.setdefault(permission, []).append((verb, reason))
    return [
        Denied(permission, tuple(verb for verb, _ in verbs), next((reason for _, reason in verbs if reason), ""))
        for permission, verbs in missing.items()
    ]


def _allowed(api: Api, namespace: str, permission: Permission, verb: str) -> tuple[bool, str]:
    resource, _, subresource = permission.resource.partition("/")
    attributes = {
        "namespace": namespace_of(permission, namespace),
        "verb": verb,
        "group": permission.group,
        "resource": resource,
        **({"subresource": subresource} if subresource else {}),
        **({"name": namespace} if resource == "namespaces" else {}),
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    status = api.call("POST", _REVIEWS, None, body).get("status") or {}
    return bool(status.get("allowed")), str(status.get("evaluationError") or status.get("reason") or "")


def rules(scope: Scope, permissions: Sequence[Permission] = PERMISSIONS) -> list[dict[str, list[str]]]:
    """The `rules` of the Role that grants a scope: one for each group and set of verbs, in the list's order."""
    merged: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for permission in permissions:
        if permission.scope is scope:
            merged.setdefault((permission.group, permission.verbs), []).append(permission.resource)
    return [
        {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
        for (group, verbs), resources in merged.items()
    ]
