"""What the facts of a cluster mean for the proxies: is the namespace injected, and does every sidecar hear its control plane.

Pure functions, as `runner.mesh.cluster.doctor_checks`, which is for the cluster as a whole.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from runner.mesh.cluster.doctor_facts import NamespaceFacts, Unknown
from runner.mesh.finding import Finding, Panel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.mesh.cluster.doctor_facts import ClusterFacts, ControlPlane
    from runner.mesh.cluster.pods import Pod

PROXIES_BEHIND = 2
"""Minor versions that Istio lets a proxy lag behind its control plane (its upgrade notes)."""

_INJECT = "sidecar.istio.io/inject"
_REVISION = "istio.io/rev"
_C = Panel("cluster")


def check_namespace(facts: ClusterFacts) -> list[Finding]:
    """Whether the namespace stays, and its pods get sidecars."""
    space = facts.namespace
    if isinstance(space, Unknown):
        return [_C.skipped("namespace", space.why)]
    if space.terminating:
        return [_C.problem("namespace", f"{space.name} is being deleted", "Name another with --namespace")]
    pods = () if isinstance(facts.pods, Unknown) else facts.pods
    if ambient(space, pods):
        return [
            _C.problem(
                "namespace",
                f"{space.name} is in ambient mode: ztunnel and waypoints carry its traffic, and there are no sidecars to confirm and count",
                f"kubectl label namespace {space.name} istio.io/dataplane-mode- istio-injection=enabled, and restart its workloads",
            )
        ]
    return [_injection(space, facts.control, pods)]


def ambient(space: NamespaceFacts, pods: Iterable[Pod]) -> bool:
    """Whether ztunnel takes the namespace's traffic."""
    if space.labels.get("istio.io/dataplane-mode") == "ambient":
        return True
    return any(pod.ambient and not pod.proxied for pod in pods)


def _injection(space: NamespaceFacts, control: ControlPlane | Unknown, pods: Sequence[Pod]) -> Finding:
    """Istio's own order: `istio-injection` wins over `istio.io/rev`; a pod's label may still turn it on or off."""
    plain, revision = space.labels.get("istio-injection"), space.labels.get(_REVISION)
    label = f"kubectl label namespace {space.name}"
    if plain == "disabled":
        return _C.problem(
            "injection",
            f"{space.name} is labelled istio-injection=disabled",
            f"{label} istio-injection=enabled --overwrite, and restart its workloads",
        )
    wanted = "default" if plain == "enabled" else revision
    if wanted:
        shown = "istio-injection=enabled" if plain else f"istio.io/rev={revision}"
        known = _revisions(control)
        if known is not None and wanted not in known:
            return _C.problem(
                "injection",
                f"{space.name} is labelled {shown}, and there is no revision or tag {wanted}: {', '.join(sorted(known))}",
                f"{label} istio-injection- istio.io/rev={min(known)} --overwrite, and restart its workloads",
            )
        also = f" (istio.io/rev={revision} is ignored beside it)" if plain and revision else ""
        return _C.ok("injection", f"{space.name} is labelled {shown}{also}")
    if any(pod.proxied for pod in pods):
        return _C.ok("injection", f"{space.name} has no injection label, and pods with sidecars all the same")
    if not pods:
        return _C.warning(
            "injection",
            f"{space.name} has no injection label; an app that the run brings gets sidecars by its pods' labels, others none",
            f"{label} istio-injection=enabled, before others are deployed there",
        )
    return _C.problem(
        "injection",
        f"{space.name} has no injection label, and no pod with a sidecar",
        f"{label} istio-injection=enabled, and restart its workloads",
    )


def _revisions(control: ControlPlane | Unknown) -> frozenset[str] | None:
    """Revisions and tags that inject; None when they are not known for certain."""
    if isinstance(control, Unknown):
        return None
    if control.tags:
        return control.tags
    if control.tags is None:
        return None  # a tag such as prod-stable would be missing from the istiods' own labels
    return frozenset(istiod.revision or "default" for istiod in control.istiods) or None


def check_sidecars(facts: ClusterFacts) -> list[Finding]:
    """Whether pods have sidecars, and these are of the right version, connected, and say what they do."""
    if isinstance(facts.pods, Unknown):
        return [_C.skipped("sidecars", facts.pods.why)]
    if isinstance(facts.namespace, NamespaceFacts) and ambient(facts.namespace, facts.pods):
        return []
    found = [*_without_sidecar(facts.pods), *_unwell(facts.pods)]
    found += _out_of_date(facts)
    found += _unconnected(facts)
    if facts.silent:
        name, why = next(iter(facts.silent.items()))
        found.append(
            _C.warning(
                "sidecars",
                f"{_count(len(facts.silent), 'proxy')} can't be asked ({name}: {why})",
                "Ask for pods/portforward or pods/exec (deploy/kustomize/base), and see whether the pods are ready",
            )
        )
    proxied = [pod for pod in facts.pods if pod.proxied]
    if not found and proxied:
        versions = Counter(proxy.version for proxy in facts.proxies if proxy.version)
        shown = ", ".join(f"{number} of Istio {version}" for version, number in versions.most_common())
        found.append(_C.ok("sidecars", f"{_count(len(proxied), 'proxy')}" + (f": {shown}" if shown else "")))
    if not facts.pods:
        found.append(_C.skipped("sidecars", "no pods in the namespace: the run would put its app there"))
    return [*found, *_logs(facts)]


def _without_sidecar(pods: Sequence[Pod]) -> list[Finding]:
    bare = sorted({pod.workload for pod in pods if not pod.proxied and not _opted_out(pod)})
    if not bare:
        return []
    return [
        _C.warning(
            "sidecars",
            f"without a sidecar: {', '.join(bare)}; traffic from them obeys no VirtualService and is counted by nobody",
            f"With injection on: kubectl rollout restart deployment {' '.join(bare)}",
        )
    ]


def _opted_out(pod: Pod) -> bool:
    return "false" in {pod.labels.get(_INJECT), pod.annotations.get(_INJECT)}


def _unwell(pods: Sequence[Pod]) -> list[Finding]:
    bad = [pod for pod in pods if not pod.ready]
    if not bad:
        return []
    shown = ", ".join(f"{pod.name} ({pod.waiting})" if pod.waiting else pod.name for pod in bad[:5])
    return [_C.problem("pods", f"not ready: {shown}", f"kubectl -n {bad[0].namespace} describe pod {bad[0].name}")]


def _out_of_date(facts: ClusterFacts) -> list[Finding]:
    if isinstance(facts.control, Unknown):
        return []
    by_revision = {istiod.revision or "default": istiod.version for istiod in facts.control.istiods if istiod.version}
    behind: dict[str, tuple[str, str]] = {}
    far = False
    for proxy in facts.proxies:
        theirs = by_revision.get(proxy.pod.revision or "default") or (
            next(iter(by_revision.values())) if len(set(by_revision.values())) == 1 else None
        )
        if theirs and proxy.version and _release(proxy.version) != _release(theirs):
            behind[proxy.pod.workload] = (proxy.version, theirs)
            far = far or _minors(proxy.version, theirs) > PROXIES_BEHIND
    if not behind:
        return []
    shown = ", ".join(f"{name} ({version}, istiod {istiod})" for name, (version, istiod) in sorted(behind.items()))
    make = _C.problem if far else _C.warning
    fix = f"kubectl rollout restart deployment {' '.join(sorted(behind))}"
    return [make("sidecars", f"of another version than their control plane: {shown}", fix)]


def _release(version: str) -> str:
    """`1.24.1` of `1.24.1-distroless`, and of `1.24.1-<commit>-Clean`."""
    return version.partition("-")[0]


def _minors(one: str, other: str) -> int:
    parts = [re.match(r"(\d+)\.(\d+)", version) for version in (one, other)]
    numbers = [int(part[1]) * 1000 + int(part[2]) for part in parts if part]
    return abs(numbers[0] - numbers[1]) if len(numbers) == 2 else 0  # noqa: PLR2004 - both could be read


def _unconnected(facts: ClusterFacts) -> list[Finding]:
    if isinstance(facts.control, Unknown) or facts.control.connected is None or isinstance(facts.pods, Unknown):
        return []
    lost = sorted(
        pod.name for pod in facts.pods if pod.proxied and pod.ready and pod.proxy_id not in facts.control.connected
    )
    if not lost:
        return []
    return [
        _C.problem(
            "sidecars",
            f"not connected to istiod, so they would never get a change: {', '.join(lost)}",
            f"kubectl logs {lost[0]} -c istio-proxy",
        )
    ]


def _logs(facts: ClusterFacts) -> list[Finding]:
    if not facts.proxies:
        return []
    without = sorted({proxy.pod.workload for proxy in facts.proxies if not proxy.logs})
    if not without:
        return [_C.ok("access logs", "written by every sidecar")]
    who = (
        "no sidecar writes them"
        if len(without) == len({proxy.pod.workload for proxy in facts.proxies})
        else f"not written by {', '.join(without)}"
    )
    return [
        _C.warning(
            "access logs",
            f"{who}; the report will have none",
            "Apply a Telemetry with `accessLogging: [{providers: [{name: envoy}]}]`, or set meshConfig.accessLogFile to /dev/stdout",
        )
    ]


def _count(number: int, what: str) -> str:
    plural = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{number} {what if number == 1 else plural}"
