"""Whether the sidecars keep the counters that an experiment is decided by, and what has them kept where they do not.

Pure functions, as `runner.mesh.cluster.doctor_demands`; `meshtrial run --add-stats` uses them too.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from runner.istio.hosts import CLUSTER_DOMAIN
from runner.mesh.cluster.doctor_facts import Unknown
from runner.mesh.cluster.stat_names import candidates, is_kept, wanted_prefix
from runner.yamlfile.dialect import to_yaml

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from runner.mesh.cluster.doctor_facts import ClusterFacts, ProxyFacts, ServiceFacts, ServicePort
    from runner.mesh.finding import Demands, Finding, Panel, StatDemand

_NAMESPACE = re.compile(rf"\.([a-z0-9-]+)\.{re.escape(CLUSTER_DOMAIN)}")
ANNOTATION = "proxy.istio.io/config"
"""Istio's ProxyConfig for a pod, in YAML; read when the pod starts."""

_OUTBOUND = ("cluster.outbound", "http.outbound")
"""Counters of all calls that a sidecar makes: limits, ejections, retries, timeouts, and faults."""

_FOR_THE_RUN = "`meshtrial run --add-stats` has them kept for a run (their pods restart before and after it)"


@dataclass(frozen=True, slots=True)
class SidecarFacts:
    """What of the facts of a cluster matters here.

    Attributes:
        proxies: of the namespace.
        services: the same.
    """

    proxies: tuple[ProxyFacts, ...]
    services: tuple[ServiceFacts, ...] | Unknown


def lost_stats(facts: ClusterFacts | SidecarFacts, demands: Demands, namespace: str) -> dict[str, set[str]]:
    """By workload, the prefixes of stats that its sidecars do not keep and an experiment's checks or faults need."""
    lost = {workload: set(prefixes) for workload, (_, prefixes) in _unread(facts, demands, namespace).items()}
    for workload in _blind(facts, demands, namespace):
        lost.setdefault(workload, set())
    return {workload: {*_OUTBOUND, *prefixes} for workload, prefixes in sorted(lost.items())}


def check_stats(facts: ClusterFacts, demands: Demands, panel: Panel, namespace: str) -> Iterator[Finding]:
    """The counters that an experiment's checks read, and those that show its faults."""
    yield from _of_another_namespace(demands, panel, namespace)
    yield from _checked_stats(facts, demands, panel, namespace)
    yield from _fault_stats(facts, demands, panel, namespace)


def _of_another_namespace(demands: Demands, panel: Panel, namespace: str) -> Iterator[Finding]:
    """Full names hold the namespace that their author had."""
    for demand in demands.stats:
        named = _NAMESPACE.search(demand.stat)
        if named and named[1] != namespace and not demand.is_regex:
            ending = demand.stat.rpartition(";.")[2]
            yield panel.warning(
                "proxy stats",
                f'"{demand.check}" names a service of the namespace {named[1]}, and the run is in {namespace}',
                f"Write the end of the name alone, {ending}, or put {namespace} into it",
            )


def _unread(
    facts: ClusterFacts | SidecarFacts, demands: Demands, namespace: str
) -> dict[str, tuple[list[str], set[str]]]:
    """By workload, the checks that read what its sidecars do not keep, and the prefixes of that."""
    ports = _service_ports(facts)
    lost: dict[str, tuple[list[str], set[str]]] = {}
    for demand in demands.stats:
        names = [] if demand.is_regex else candidates(demand.stat, ports, namespace)
        for proxy in _proxies(facts, demand):
            missing = [name for name in names if not is_kept(name, proxy.kept)]
            if names and len(missing) == len(names):
                checks, prefixes = lost.setdefault(proxy.pod.workload, ([], set()))
                if demand.check not in checks:
                    checks.append(demand.check)
                prefixes.add(wanted_prefix(names[0]))
    return lost


def _checked_stats(facts: ClusterFacts, demands: Demands, panel: Panel, namespace: str) -> Iterator[Finding]:
    """Counters that checks read and sidecars do not keep: one finding for each workload."""
    lost = _unread(facts, demands, namespace)
    for workload, (checks, prefixes) in sorted(lost.items()):
        yield panel.problem(
            "proxy stats",
            f"the sidecar of {workload} does not keep what {_quoted(checks)} reads: that would be inconclusive",
            f"{_FOR_THE_RUN}, or for good: {annotate(facts, namespace, [workload], prefixes)}",
        )
    if demands.stats and not lost:
        if any(_proxies(facts, demand) for demand in demands.stats):
            yield panel.ok("proxy stats", "the sidecars keep every counter that its checks read")
        elif isinstance(facts.pods, Unknown) or facts.pods:
            yield panel.skipped("proxy stats", "none of the sidecars that its checks name could be asked")


def _blind(facts: ClusterFacts | SidecarFacts, demands: Demands, namespace: str) -> dict[str, list[str]]:
    """By workload, the stats of faults that its sidecars do not keep."""
    ports = _service_ports(facts)
    blind: dict[str, list[str]] = {}
    for stat in demands.faults:
        for proxy in facts.proxies:
            names = candidates(stat, ports, namespace)
            if names and not any(is_kept(name, proxy.kept) for name in names):
                blind.setdefault(proxy.pod.workload, []).append(stat)
    return blind


def _fault_stats(facts: ClusterFacts, demands: Demands, panel: Panel, namespace: str) -> Iterator[Finding]:
    """A fault that no counter shows is a fault that was not seen to fire: the trial would be invalid."""
    blind = _blind(facts, demands, namespace)
    if not blind:
        return
    everyone = {proxy.pod.workload for proxy in facts.proxies}
    who = "no sidecar keeps" if everyone <= blind.keys() else f"the sidecars of {', '.join(sorted(blind))} do not keep"
    make = panel.problem if everyone <= blind.keys() else panel.warning
    stats = sorted({stat for stats in blind.values() for stat in stats})
    yield make(
        "fault stats",
        f"{who} {' and '.join(stats)}: a fault that fires in their calls would not be seen, and the trial be invalid",
        f"{_FOR_THE_RUN}, or for good: {annotate(facts, namespace, sorted(blind), ())}",
    )


def annotate(facts: ClusterFacts, namespace: str, workloads: Sequence[str], prefixes: Collection[str]) -> str:
    """The command that has sidecars keep more stats, as Istio's fortio sample does; what their annotation says already is kept.

    Args:
        facts: for the pods' annotations.
        namespace: of the workloads.
        workloads: which.
        prefixes: to keep, beside those of all outbound traffic, so that one command is enough for checks and faults.
    """
    by_patch: dict[str, list[str]] = {}
    for workload in workloads:
        pods = (proxy.pod for proxy in facts.proxies if proxy.pod.workload == workload)
        before = next((pod.annotations.get(ANNOTATION, "") for pod in pods), "")
        annotation = {ANNOTATION: with_prefixes(before, {*_OUTBOUND, *prefixes})}
        patch = {"spec": {"template": {"metadata": {"annotations": annotation}}}}
        by_patch.setdefault(json.dumps(patch), []).append(workload)
    commands = []
    for patch_text, names in by_patch.items():
        patch_of = f"kubectl -n {namespace} patch deployment"
        if len(names) == 1:
            commands.append(f"{patch_of} {names[0]} -p {shlex.quote(patch_text)}")
        else:
            commands.append(f"for name in {' '.join(names)}; do {patch_of} $name -p {shlex.quote(patch_text)}; done")
    return "; ".join(commands)


def with_prefixes(annotation: str, prefixes: Collection[str]) -> str:
    """An annotation `proxy.istio.io/config` (YAML) that keeps these stats too."""
    try:
        config = yaml.safe_load(annotation) or {}
    except yaml.YAMLError:
        config = {}
    config = config if isinstance(config, dict) else {}
    matcher = config.setdefault("proxyStatsMatcher", {})
    matcher["inclusionPrefixes"] = sorted({*(matcher.get("inclusionPrefixes") or []), *prefixes})
    return to_yaml(config)


def _proxies(facts: ClusterFacts | SidecarFacts, demand: StatDemand) -> list[ProxyFacts]:
    services = () if isinstance(facts.services, Unknown) else facts.services
    selectors = [service.selector for service in services if service.name == demand.workload and service.selector]
    return [
        proxy
        for proxy in facts.proxies
        if proxy.pod.workload == demand.workload
        or any(selector.items() <= proxy.pod.labels.items() for selector in selectors)
    ]


def _service_ports(facts: ClusterFacts | SidecarFacts) -> list[ServicePort]:
    services = () if isinstance(facts.services, Unknown) else facts.services
    return [port for service in services for port in service.ports]


def _quoted(checks: Sequence[str]) -> str:
    shown = ", ".join(f'"{check}"' for check in checks[:2])
    return shown if len(checks) <= 2 else f"{shown} and {len(checks) - 2} more"  # noqa: PLR2004 - two are told in full
