"""Whether the sidecars keep the counters that an experiment is decided by, and the command that has them kept where they do not.

Pure functions, as `runner.mesh.cluster.doctor_demands`.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import yaml

from runner.istio.hosts import CLUSTER_DOMAIN
from runner.mesh.cluster.doctor_facts import Unknown
from runner.mesh.cluster.stat_names import candidates, is_kept, wanted_prefix
from runner.yamlfile import to_yaml

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from runner.mesh.cluster.doctor_facts import ClusterFacts, ProxyFacts, ServicePort
    from runner.mesh.finding import Demands, Finding, Panel, StatDemand

_NAMESPACE = re.compile(rf"\.([a-z0-9-]+)\.{re.escape(CLUSTER_DOMAIN)}")
_ANNOTATION = "proxy.istio.io/config"
_OUTBOUND = ("cluster.outbound", "http.outbound")
"""Counters of all calls that a sidecar makes: limits, ejections, retries, timeouts, and faults."""


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


def _checked_stats(facts: ClusterFacts, demands: Demands, panel: Panel, namespace: str) -> Iterator[Finding]:
    """Counters that checks read and sidecars do not keep: one finding for each workload."""
    ports = _service_ports(facts)
    lost: dict[str, tuple[list[str], set[str]]] = {}
    seen = False
    for demand in demands.stats:
        names = [] if demand.is_regex else candidates(demand.stat, ports, namespace)
        for proxy in _proxies(facts, demand):
            seen = True
            missing = [name for name in names if not is_kept(name, proxy.kept)]
            if names and len(missing) == len(names):
                checks, prefixes = lost.setdefault(proxy.pod.workload, ([], set()))
                if demand.check not in checks:
                    checks.append(demand.check)
                prefixes.add(wanted_prefix(names[0]))
    for workload, (checks, prefixes) in sorted(lost.items()):
        yield panel.problem(
            "proxy stats",
            f"the sidecar of {workload} does not keep what {_quoted(checks)} reads: that would be inconclusive",
            annotate(facts, namespace, [workload], prefixes),
        )
    if demands.stats and not lost:
        if seen:
            yield panel.ok("proxy stats", "the sidecars keep every counter that its checks read")
        elif isinstance(facts.pods, Unknown) or facts.pods:
            yield panel.skipped("proxy stats", "none of the sidecars that its checks name could be asked")


def _fault_stats(facts: ClusterFacts, demands: Demands, panel: Panel, namespace: str) -> Iterator[Finding]:
    """A fault that no counter shows is a fault that was not seen to fire: the trial would be invalid."""
    ports = _service_ports(facts)
    blind: dict[str, list[str]] = {}
    for stat in demands.faults:
        for proxy in facts.proxies:
            names = candidates(stat, ports, namespace)
            if names and not any(is_kept(name, proxy.kept) for name in names):
                blind.setdefault(proxy.pod.workload, []).append(stat)
    if not blind:
        return
    everyone = {proxy.pod.workload for proxy in facts.proxies}
    who = "no sidecar keeps" if everyone <= blind.keys() else f"the sidecars of {', '.join(sorted(blind))} do not keep"
    make = panel.problem if everyone <= blind.keys() else panel.warning
    stats = sorted({stat for stats in blind.values() for stat in stats})
    yield make(
        "fault stats",
        f"{who} {' and '.join(stats)}: a fault that fires in their calls would not be seen, and the trial be invalid",
        annotate(facts, namespace, sorted(blind), ()),
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
        before = next((pod.annotations.get(_ANNOTATION, "") for pod in pods), "")
        annotation = {_ANNOTATION: _with_prefixes(before, {*_OUTBOUND, *prefixes})}
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


def _with_prefixes(annotation: str, prefixes: Collection[str]) -> str:
    """An annotation `proxy.istio.io/config` (YAML) that keeps these stats too."""
    try:
        config = yaml.safe_load(annotation) or {}
    except yaml.YAMLError:
        config = {}
    config = config if isinstance(config, dict) else {}
    matcher = config.setdefault("proxyStatsMatcher", {})
    matcher["inclusionPrefixes"] = sorted({*(matcher.get("inclusionPrefixes") or []), *prefixes})
    return to_yaml(config)


def _proxies(facts: ClusterFacts, demand: StatDemand) -> list[ProxyFacts]:
    services = () if isinstance(facts.services, Unknown) else facts.services
    selectors = [service.selector for service in services if service.name == demand.workload and service.selector]
    return [
        proxy
        for proxy in facts.proxies
        if proxy.pod.workload == demand.workload
        or any(selector.items() <= proxy.pod.labels.items() for selector in selectors)
    ]


def _service_ports(facts: ClusterFacts) -> list[ServicePort]:
    services = () if isinstance(facts.services, Unknown) else facts.services
    return [port for service in services for port in service.ports]


def _quoted(checks: Sequence[str]) -> str:
    shown = ", ".join(f'"{check}"' for check in checks[:2])
    return shown if len(checks) <= 2 else f"{shown} and {len(checks) - 2} more"  # noqa: PLR2004 - two are told in full
