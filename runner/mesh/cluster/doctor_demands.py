"""What the facts of a cluster mean for one experiment: who else configures the same hosts, and whether its checks can be decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.istio.hosts import MESH_GATEWAY, service_host
from runner.mesh.cluster.claims import SHARED_GATEWAYS, hosts_of, route_claims, rule_claims, shared_gateways
from runner.mesh.cluster.doctor_facts import Unknown
from runner.mesh.cluster.doctor_stats import check_stats
from runner.mesh.cluster.permissions import ISTIO_NAMESPACE, Scope
from runner.mesh.finding import Finding, Panel
from runner.spec.load_profile import GATEWAY
from runner.spec.mesh import GENERATOR_IMAGE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.istio.resource import Resource
    from runner.mesh.cluster.claims import RouteClaim
    from runner.mesh.cluster.doctor_facts import ClusterFacts, ServicePort
    from runner.mesh.finding import Demands

_GITOPS = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "configsync.gke.io/resource-id": "Config Sync",
}
_IN_CLUSTER = "(in-cluster)"
"""The context of a run in a pod, whose own image its generators have."""
_HTTP_PROTOCOLS = frozenset({"http", "http2", "grpc", "grpc-web", "https"})


def check_demands(facts: ClusterFacts, demands: Demands, namespace: str) -> list[Finding]:
    """Everything that one experiment needs of a cluster beyond what every run needs."""
    panel = Panel(demands.experiment)
    found = [
        *_refused(facts, demands, panel),
        *_virtual_services(facts, demands, panel),
        *_destination_rules(facts, demands, panel),
        *_gateways(facts, demands, panel),
        *_owners(facts, demands, panel, namespace),
        *_ports(facts, demands, panel, namespace),
        *_entry(facts, demands, panel),
        *check_stats(facts, demands, panel, namespace),
        *_generators(facts, demands, panel),
        *_prometheus(facts, demands, panel),
    ]
    return found or [panel.ok("conflicts", "nothing in this cluster is in its way")]


def _refused(facts: ClusterFacts, demands: Demands, panel: Panel) -> Iterator[Finding]:
    refused = facts.refused.get(demands.experiment)
    if isinstance(refused, Unknown):
        yield panel.skipped("dry run", refused.why)
        return
    for item in refused or ():
        old = "unknown field" in item.said or "no kind" in item.said or "does not know" in item.said
        yield panel.problem(
            "dry run",
            f"{item.resource.position()}: the API server would not take {item.resource.key}: {item.said}",
            "This Istio's CRDs are too old for it: upgrade Istio, or leave the field out"
            if old
            else "Correct the manifest",
        )
    if not refused and demands.resources:
        yield panel.ok("dry run", f"the API server would take all {len(demands.resources)} resources")


def _virtual_services(facts: ClusterFacts, demands: Demands, panel: Panel) -> Iterator[Finding]:
    others, known = _others(facts)
    mine, keys = route_claims(demands.resources), {resource.key for resource in demands.resources}
    told = set()
    for theirs in route_claims(other for other in others if other.key not in keys):
        for claim in mine:
            shared, gateways = claim.shared_host(theirs), claim.gateways & theirs.gateways
            if shared and gateways and theirs.seen_in(claim.key.namespace) and (theirs.key, claim.key) not in told:
                told.add((theirs.key, claim.key))
                yield _conflict(panel, claim, theirs, shared, gateways)
    if not known and mine:
        yield panel.skipped(
            "VirtualServices",
            "those of other namespaces can't be listed, so a conflict with them is not seen",
            "Ask for deploy/kustomize/components/cluster-reader",
        )


def _conflict(panel: Panel, mine: RouteClaim, other: RouteClaim, host: str, gateways: frozenset[str]) -> Finding:
    name, namespace = other.key.name, other.key.namespace
    if MESH_GATEWAY not in gateways:
        return panel.warning(
            "VirtualServices",
            f"{other.key} configures {host} at the gateway {', '.join(sorted(gateways))} too: "
            "Istio merges them, the older one's routes first",
            "Make sure that their routes do not overlap, or give yours the same name",
        )
    fix = f"Give yours the name {name} (a run replaces it and puts it back), or delete the other for the run"
    if namespace != mine.key.namespace:
        fix = f"Limit the other by exportTo, or delete it for the run: kubectl -n {namespace} delete virtualservice {name}"
    return panel.problem(
        "VirtualServices",
        f"{other.key} configures {host} too: of two for a host sidecars use one only, the older, "
        f"so {mine.key} would do nothing",
        fix,
    )


def _destination_rules(facts: ClusterFacts, demands: Demands, panel: Panel) -> Iterator[Finding]:
    """Others for the same host in the same namespace: a rule of the caller's own namespace wins over those elsewhere."""
    others, _ = _others(facts)
    mine, keys = rule_claims(demands.resources), {resource.key for resource in demands.resources}
    told = set()
    for theirs in rule_claims(other for other in others if other.key not in keys):
        for claim in mine:
            near = theirs.key.namespace == claim.key.namespace and theirs.host == claim.host
            if not near or theirs.selective or (theirs.key, claim.key) in told:
                continue
            told.add((theirs.key, claim.key))
            both = sorted(claim.subsets & theirs.subsets)
            fix = f"Give yours the name {theirs.key.name}: a run replaces it and puts it back"
            text = f"{theirs.key} is for {claim.host} too"
            if both or (claim.policy and theirs.policy):
                what = (
                    f"{'subsets' if len(both) > 1 else 'the subset'} {', '.join(both)}" if both else "a trafficPolicy"
                )
                yield panel.problem(
                    "DestinationRules", f"{text}, and both have {what}: Istio takes the older rule's", fix
                )
            else:
                yield panel.warning("DestinationRules", f"{text}: Istio merges their subsets", fix)


def _gateways(facts: ClusterFacts, demands: Demands, panel: Panel) -> Iterator[Finding]:
    """Others at the same host and port of the same gateway, where the load enters there."""
    if GATEWAY not in demands.sources:
        return
    here = [] if isinstance(facts.here, Unknown) else facts.here
    ours = {item.key: item for item in (*here, *demands.resources)}
    elsewhere = () if isinstance(facts.elsewhere, Unknown) else facts.elsewhere
    for text in shared_gateways(ours.values(), elsewhere):
        yield panel.warning("Gateways", text, SHARED_GATEWAYS)


def _owners(facts: ClusterFacts, demands: Demands, panel: Panel, namespace: str) -> Iterator[Finding]:
    """Who would put back, or change, what this experiment changes."""
    hosts = hosts_of(demands.resources)
    names = {resource.key.name for resource in demands.resources} | {host.partition(".")[0] for host in hosts}
    owners = () if isinstance(facts.owners, Unknown) else facts.owners
    for owner in owners:
        touched = sorted(owner.targets & names)
        if owner.namespace == namespace and touched:
            yield panel.problem(
                "owners",
                f"{owner.what} drives {', '.join(touched)} by itself: it would change routes in the middle of a run",
                "Pause it for the run (Flagger: spec.suspend: true; Argo: kubectl argo rollouts pause), or use another namespace",
            )
    if isinstance(facts.owners, Unknown):
        yield panel.skipped("owners", facts.owners.why, "Ask for deploy/kustomize/components/cluster-reader")
    here = () if isinstance(facts.here, Unknown) else facts.here
    keys = {resource.key for resource in demands.resources}
    for item in here:
        if item.key not in keys:
            continue
        metadata = item.body.get("metadata") or {}
        controllers = [f"{owner.get('kind')} {owner.get('name')}" for owner in metadata.get("ownerReferences") or []]
        if controllers:
            yield panel.problem(
                "owners",
                f"{item.key}, which this experiment replaces, belongs to {', '.join(controllers)}, "
                "which would put it back in the middle of a run",
                "Pause the owner for the run, or use another namespace",
            )
            continue
        marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
        tools = sorted({tool for mark, tool in _GITOPS.items() if mark in marks})
        if tools:
            yield panel.warning(
                "owners",
                f"{item.key}, which this experiment replaces, is kept by {', '.join(tools)}, which may put it back in the middle of a run",
                "Pause self-healing for the run (Argo CD: syncPolicy.automated.selfHeal: false; Flux: flux suspend kustomization)",
            )


def _ports(facts: ClusterFacts, demands: Demands, panel: Panel, namespace: str) -> Iterator[Finding]:
    """HTTP routes need a port that is known to be HTTP (Istio's protocol selection)."""
    if isinstance(facts.services, Unknown):
        yield panel.skipped("services", facts.services.why)
        return
    hosts = hosts_of(demands.resources)
    for service in facts.services:
        if service_host(service.name, namespace) not in hosts:
            continue
        unclear = [port for port in service.ports if not _is_http(port)]
        if unclear and len(unclear) == len(service.ports):
            shown = ", ".join(f"{port.number} ({port.name or 'no name'})" for port in unclear)
            yield panel.warning(
                "services",
                f"no port of {service.name} says that it is HTTP: {shown}; timeouts, faults and retries need that",
                f"Name it http, http-..., http2 or grpc, or set appProtocol: kubectl -n {namespace} edit service {service.name}",
            )


def _is_http(port: ServicePort) -> bool:
    if port.protocol:
        return port.protocol.lower().rpartition("/")[2] in _HTTP_PROTOCOLS | {"h2c"}
    return port.name.partition("-")[0] in _HTTP_PROTOCOLS


def _generators(facts: ClusterFacts, demands: Demands, panel: Panel) -> Iterator[Finding]:
    """Whether the pods that its load generators run in can be had."""
    if not demands.generator_pods:
        return
    if not demands.generator_image and facts.server.context != _IN_CLUSTER:
        yield panel.problem(
            "generators",
            "it is not known which image Locust's workers run in their pods",
            f"mesh: {{cluster: {{generators: {{image: ...}}}}}}, or {GENERATOR_IMAGE_VARIABLE}, with what deploy/Dockerfile builds",
        )
    if isinstance(facts.denied, Unknown):
        return
    denied = {(one.permission.scope, one.permission.resource): one.verbs for one in facts.denied}
    for scope, resource, fix in (
        (Scope.LOAD, "jobs", "Ask for deploy/kustomize/components/load"),
        (Scope.EXPERIMENT, "pods/exec", "Ask for the Role in deploy/kustomize/base"),
    ):
        if verbs := denied.get((scope, resource)):
            yield panel.problem("generators", f"Locust's workers need the right to {', '.join(verbs)} {resource}", fix)


def _entry(facts: ClusterFacts, demands: Demands, panel: Panel) -> Iterator[Finding]:
    if GATEWAY in demands.sources:
        pods = facts.gateways.get(demands.experiment)
        if isinstance(pods, Unknown):
            yield panel.skipped("gateway", pods.why)
        elif pods == 0:
            yield panel.problem(
                "gateway",
                "no ready pod has the labels that the Gateways select, so nothing can enter",
                "Install an ingress gateway (the istio/gateway chart), or correct the Gateway's selector",
            )
        elif pods:
            yield panel.ok("gateway", f"{pods} ready gateway {'pod' if pods == 1 else 'pods'}")
    if isinstance(facts.pods, Unknown):
        return
    for source in sorted(demands.sources - {GATEWAY}):
        if "." in source:  # a workload of another namespace, which is not looked at here
            continue
        pods_of = [pod for pod in facts.pods if source in {pod.workload, pod.name, pod.labels.get("app")}]
        if not pods_of and facts.pods:
            yield panel.warning(
                "client",
                f"there is no workload {source}, from which the load should come",
                "The run puts one there when it may (deploy/kustomize/components/app), or name another in load.from",
            )
        elif pods_of and not any(pod.proxied for pod in pods_of):
            yield panel.problem(
                "client",
                f"{source} has no sidecar, so its traffic obeys no VirtualService",
                f"kubectl rollout restart deployment {source}, with injection on",
            )


def _prometheus(facts: ClusterFacts, demands: Demands, panel: Panel) -> Iterator[Finding]:
    if not demands.promql:
        return
    what = f"promql[{demands.promql[0]}]" + (f" and {len(demands.promql) - 1} more" if len(demands.promql) > 1 else "")
    if isinstance(facts.prometheus, Unknown):
        yield panel.problem(
            "Prometheus",
            f"{facts.prometheus.why}; checks on {what} would be inconclusive",
            f"Set MESHTRIAL_PROMETHEUS to its URL, or install Istio's addon into {ISTIO_NAMESPACE} (samples/addons/prometheus.yaml)",
        )
    elif not facts.prometheus.istio_series:
        yield panel.warning(
            "Prometheus",
            f"{facts.prometheus.where} has no series of istio_requests_total",
            "Send some traffic; if there are still none, see whether it scrapes the sidecars (port 15020, /stats/prometheus)",
        )
    else:
        yield panel.ok(
            "Prometheus", f"{facts.prometheus.where}, {facts.prometheus.istio_series} series of istio_requests_total"
        )


def _others(facts: ClusterFacts) -> tuple[list[Resource], bool]:
    """What the cluster holds of VirtualServices and DestinationRules, and whether other namespaces are among it."""
    here = [] if isinstance(facts.here, Unknown) else list(facts.here)
    if isinstance(facts.elsewhere, Unknown):
        return here, False
    return [*here, *facts.elsewhere], True
