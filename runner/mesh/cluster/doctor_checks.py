"""What the facts of a cluster mean for any run on it: one finding a line, each with what to do.

Pure functions; `runner.mesh.cluster.doctor_read` has the reading, `doctor_demands` what a certain experiment needs beyond this.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runner.mesh.cluster.doctor_facts import Unknown
from runner.mesh.cluster.doctor_sidecars import check_namespace, check_sidecars
from runner.mesh.cluster.permissions import ISTIO_NAMESPACE, Scope
from runner.mesh.finding import Finding, Panel

if TYPE_CHECKING:
    from runner.mesh.cluster.doctor_facts import ClusterFacts, ServerFacts
    from runner.mesh.cluster.permissions import Denied

OLDEST_KUBERNETES = (1, 27)
"""The oldest that Istio 1.22 supports, the first that serves `networking.istio.io/v1`."""
CLOCKS_AGREE = 1.0
"""Seconds: access logs are cut by this machine's clock."""
CONFIG_KINDS = ("VirtualService", "DestinationRule", "Gateway")

_C = Panel("cluster")


def check_cluster(facts: ClusterFacts) -> list[Finding]:
    """Everything about a cluster that any run needs."""
    return [
        *check_server(facts.server),
        *_permissions(facts),
        *_kinds(facts),
        *_control(facts),
        *check_namespace(facts),
        *check_sidecars(facts),
    ]


def check_server(server: ServerFacts) -> list[Finding]:
    """The API server's version and clock."""
    found = [_version(server)]
    if server.skew is None:
        return [*found, _C.skipped("clock", "the API server gives no Date header")]
    low, high = server.skew
    off = low if low > 0 else -high if high < 0 else 0.0
    if off > CLOCKS_AGREE:
        way = "behind" if low > 0 else "ahead of"
        return [
            *found,
            _C.warning(
                "clock",
                f"this machine's clock is about {off:.0f} s {way} the API server's, so access logs would be cut at wrong moments",
                "Set the clocks by NTP (`timedatectl set-ntp true`)",
            ),
        ]
    return [*found, _C.ok("clock", "agrees with the API server's to the second")]


def _version(server: ServerFacts) -> Finding:
    where = f"{server.url} (context {server.context}): Kubernetes {server.version}"
    match = re.match(r"v?(\d+)\.(\d+)", server.version)
    if match is None:
        return _C.warning("API server", f"{where}, a version that can't be read", "See `kubectl version`")
    if (int(match[1]), int(match[2])) < OLDEST_KUBERNETES:
        oldest = ".".join(map(str, OLDEST_KUBERNETES))
        return _C.problem("API server", f"{where} is older than {oldest}", "Upgrade the cluster")
    return _C.ok("API server", where)


def _permissions(facts: ClusterFacts) -> list[Finding]:
    if isinstance(facts.denied, Unknown):
        return [_C.skipped("permissions", facts.denied.why)]
    if not facts.denied:
        return [_C.ok("permissions", "everything that a run may need")]
    by_scope: dict[tuple[Scope, bool], list[Denied]] = {}
    for denied in facts.denied:
        by_scope.setdefault((denied.permission.scope, denied.permission.required), []).append(denied)
    found = []
    if not any(denied.permission.required for denied in facts.denied):
        found.append(_C.ok("permissions", "everything that a run can't do without"))
    for (scope, required), group in by_scope.items():
        there = f" in {ISTIO_NAMESPACE}"
        where = {Scope.ISTIO: there, Scope.MESH: there, Scope.CLUSTER: " in all namespaces"}.get(scope, "")
        missing = "; ".join(f"{', '.join(denied.verbs)} {_resource(denied)}" for denied in group)
        text = f"missing{where}: {missing}"
        if required:
            found.append(_C.problem("permissions", f"{text}; no run is possible without", _GRANTS[scope]))
            continue
        lost = "; ".join(dict.fromkeys(denied.permission.without for denied in group))
        make = _C.warning if scope is Scope.EXPERIMENT else _C.skipped
        found.append(make("permissions", f"{text}: {lost}", _GRANTS[scope]))
    return found


_GRANTS = {
    Scope.EXPERIMENT: "Ask for the Role in deploy/kustomize/base",
    Scope.APP: "Where the run should put the app there, ask for deploy/kustomize/components/app",
    Scope.LOAD: "Where Locust should run inside the cluster, ask for deploy/kustomize/components/load",
    Scope.POLICIES: "Where an experiment has such kinds, ask for deploy/kustomize/components/policies",
    Scope.MESH: "Where an experiment has config of the whole mesh, ask for deploy/kustomize/mesh-wide",
    Scope.ISTIO: "Ask for the Role in deploy/kustomize/istio",
    Scope.CLUSTER: "To have that, ask for deploy/kustomize/components/cluster-reader",
}


def _resource(denied: Denied) -> str:
    permission = denied.permission
    return f"{permission.resource}.{permission.group}" if permission.group else permission.resource


def _kinds(facts: ClusterFacts) -> list[Finding]:
    if isinstance(facts.kinds, Unknown):
        return [_C.skipped("Istio's CRDs", facts.kinds.why)]
    missing = [kind for kind in CONFIG_KINDS if facts.kinds.get(kind) is None]
    if missing:
        return [
            _C.problem(
                "Istio's CRDs",
                f"the API server does not know {', '.join(missing)}",
                "`istioctl install`, or apply manifests/charts/base/files/crd-all.gen.yaml of your Istio's release",
            )
        ]
    shown = ", ".join(f"{kind} {version}" for kind, version in facts.kinds.items() if version and kind in CONFIG_KINDS)
    old = [kind for kind in CONFIG_KINDS if "alpha" in str(facts.kinds[kind])]
    if old:
        return [_C.warning("Istio's CRDs", f"{shown}: of a very old Istio", "Upgrade Istio to 1.22 or newer")]
    return [_C.ok("Istio's CRDs", shown)]


def _control(facts: ClusterFacts) -> list[Finding]:
    control = facts.control
    if isinstance(control, Unknown):
        return [_C.skipped("Istio", control.why, "Ask for the Role in deploy/kustomize/istio")]
    if not control.istiods:
        return [
            _C.problem(
                "Istio",
                f"no istiod in {ISTIO_NAMESPACE}",
                "`istioctl install`; a control plane outside the cluster or in another namespace is not supported",
            )
        ]
    ready = [istiod for istiod in control.istiods if istiod.ready]
    if not ready:
        names = ", ".join(istiod.name for istiod in control.istiods)
        fix = f"kubectl -n {ISTIO_NAMESPACE} describe pod {control.istiods[0].name}"
        return [_C.problem("Istio", f"istiod is not ready ({names})", fix)]
    shown = ", ".join(
        sorted(
            {f"{istiod.version or 'of unknown version'} (revision {istiod.revision or 'default'})" for istiod in ready}
        )
    )
    text = f"Istio {shown}"
    if control.why_not:
        return [
            _C.warning(
                "Istio", f"{text}; {control.why_not}", "Ask for the Role in deploy/kustomize/istio: pods/portforward"
            )
        ]
    if len({istiod.revision for istiod in ready}) > 1:
        text += "; two revisions side by side: the namespace's label says which one is meant"
    return [_C.ok("Istio", text)]
