"""`meshtrial doctor`: everything that a run needs, looked at before a run needs it, each finding with what to do about it.

What a mesh of each kind needs is the mesh room's business; here it is put together with what lies between the rooms: the
journals of dead runs, the load generators, and what an experiment's checks will ask for.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runner.conduct.drivers import generator_pods
from runner.conduct.journal import unfinished
from runner.conduct.preview import preview
from runner.errors import DriverError, InputError, OutsideError, StorageError
from runner.load.fortio_program import find, version_of
from runner.mesh.finding import Demands, Finding, Panel, StatDemand, Status
from runner.mesh.telemetry import URL_VARIABLE
from runner.spec.load_profile import GATEWAY
from runner.spec.mesh import GENERATOR_IMAGE_VARIABLE, ClusterMesh, ClusterTarget, LocalMesh, NoMesh
from runner.spec.metrics import Metric
from runner.state import journal_home

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from runner.conduct.plan import Plan
    from runner.errors import Problem
    from runner.istio.faults import ExpectedFault
    from runner.istio.resource import Resource
    from runner.spec.mesh import MeshChoice

_IMPORT_LIMIT = 60.0
_REACH = 5.0
_LOAD = Panel("load")
_MACHINE = Panel("machine")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that was found.

    Attributes:
        findings: one for each thing that was looked at; the order is that of a run's needs.
        problems: what is wrong with the experiments, their manifests or load files.
    """

    findings: tuple[Finding, ...]
    problems: tuple[Problem, ...]

    @property
    def in_the_way(self) -> bool:
        """Whether a run would fail, or could not prove what it is asked to."""
        return stands_in_the_way(self.findings)


def diagnose(plans: Sequence[Plan], asked: LocalMesh | ClusterMesh | None = None) -> Diagnosis:
    """Look at everything that these experiments need, or that any would.

    Args:
        plans: the experiments.
        asked: the mesh to look at when there are none.

    Raises:
        InputError: there is no kubeconfig, or no such context.
    """
    choices = [plan.experiment.experiment.mesh for plan in plans] or [asked or LocalMesh()]
    found = _machine([choice for choice in choices if isinstance(choice, LocalMesh)])
    problems = [problem for plan in plans for problem in _problems_in_thought(plan)]
    for context, namespace in dict.fromkeys(
        (choice.cluster.context, choice.cluster.namespace) for choice in choices if isinstance(choice, ClusterMesh)
    ):
        from runner.mesh.cluster.doctor import examine  # noqa: PLC0415 - only the kind in use is loaded

        found += examine(context, namespace, [demands_of(plan) for plan in plans if _is_in(plan, context, namespace)])
    found += _absent_queries(plans)
    found += _plain_targets(plans)
    found += _journals()
    found += _generators(plans)
    if plans and not stands_in_the_way([finding for finding in found if finding.area == _LOAD.area]):
        findings, wrong = _load_files(plans)
        found += findings
        problems += wrong
    return Diagnosis(tuple(found), tuple(dict.fromkeys(problems)))


def stands_in_the_way(findings: Sequence[Finding]) -> bool:
    """Whether a run would fail, or could not prove what it is asked to."""
    return any(finding.status is Status.PROBLEM for finding in findings)


def _machine(local: Sequence[LocalMesh]) -> list[Finding]:
    from runner.mesh.local.appfile import find_app, load_app  # noqa: PLC0415 - read only when a doctor is asked
    from runner.mesh.local.doctor import check_generator, check_machine  # noqa: PLC0415 - the same
    from runner.mesh.local.machine import read_machine  # noqa: PLC0415 - the same

    apps = [load_app(find_app(app)) for app in {choice.app for choice in local}]
    facts = read_machine()
    if not apps:
        return check_generator(facts)
    return check_machine(facts, max(len(app.topology("127.64.0").pods) for app in apps))


def _kind_of(mesh: MeshChoice) -> str:
    if isinstance(mesh, ClusterMesh):
        return "cluster"
    return "local" if isinstance(mesh, LocalMesh) else "none"


def _is_in(plan: Plan, context: str | None, namespace: str) -> bool:
    mesh = plan.experiment.experiment.mesh
    return isinstance(mesh, ClusterMesh) and (mesh.cluster.context, mesh.cluster.namespace) == (context, namespace)


def _problems_in_thought(plan: Plan) -> list[Problem]:
    """What is wrong with a plan, nothing running: of a cluster little is known in thought, and its API server tries the rest."""
    try:
        preview(plan)
    except InputError as error:
        return error.problems
    return []


def demands_of(plan: Plan) -> Demands:
    """What an experiment asks of its mesh."""
    spec = plan.experiment.experiment
    versions: dict[tuple[object, str], Resource] = {}
    for variant in plan.variants:
        for resource in variant.touched:
            versions.setdefault((resource.key, resource.canonical()), resource)
    metrics = [
        (check.text, metric)
        for check in plan.experiment.checks
        for metric in (check.metric, check.operand)
        if isinstance(metric, Metric)
    ]
    metrics += [(guardrail.text, guardrail.metric) for guardrail in plan.experiment.guardrails]
    stats = {
        StatDemand(text, *metric.stat): None for text, metric in metrics if metric.name == "proxy" and metric.argument
    }
    return Demands(
        experiment=spec.experiment,
        resources=tuple(versions.values()),
        stats=tuple(stats),
        sources=frozenset(
            GATEWAY if variant.load.at_gateway else variant.load.source
            for variant in plan.variants
            if variant.url is None
        ),
        promql=tuple(spec.collect.promql),
        faults=tuple(sorted({f"fault.{fault.kind}s_injected" for fault in _faults(plan)})),
        app=spec.mesh.cluster.app if isinstance(spec.mesh, ClusterMesh) else "bookinfo",
        prometheus=spec.mesh.cluster.prometheus if isinstance(spec.mesh, ClusterMesh) else None,
        generator_pods=max((generator_pods(plan, variant.load) for variant in plan.variants), default=0),
        generator_image=_image(spec.mesh),
    )


def _image(mesh: MeshChoice) -> str | None:
    named = mesh.cluster.generators.image if isinstance(mesh, ClusterMesh) else None
    return named or os.environ.get(GENERATOR_IMAGE_VARIABLE)


def _faults(plan: Plan) -> Iterator[ExpectedFault]:
    for variant in plan.variants:
        yield from variant.faults
        if variant.phases is not None:
            yield from variant.phases.faults


def _absent_queries(plans: Sequence[Plan]) -> Iterator[Finding]:
    """PromQL entries that a run against this kind of mesh has no answer to; checks on them would be inconclusive."""
    for plan in plans:
        spec = plan.experiment.experiment
        why = _why_no_prometheus(spec.mesh)
        for name in spec.collect.promql if why else ():
            yield Panel(spec.experiment).warning(
                "promql",
                f"promql[{name}] will be absent: {why}",
                "Decide by proxy[...] instead, which reads the counters of the proxies themselves"
                if isinstance(spec.mesh, LocalMesh)
                else f"Set {URL_VARIABLE}, or mesh.none.prometheus, to its URL",
            )


def _why_no_prometheus(mesh: MeshChoice) -> str:
    """Why there is none to ask, of kinds whose Prometheus is not looked for; empty else."""
    if isinstance(mesh, LocalMesh):
        return "the embedded mesh has no Prometheus"
    if isinstance(mesh, NoMesh) and not (mesh.none.prometheus or os.environ.get(URL_VARIABLE)):
        return "nothing says where Prometheus is"
    return ""


def _plain_targets(plans: Sequence[Plan]) -> Iterator[Finding]:
    """Whether what a plain URL names accepts connections."""
    urls = {
        variant.url: plan.experiment.experiment.experiment
        for plan in plans
        for variant in plan.variants
        if variant.url is not None
    }
    for url, name in urls.items():
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((host, port), timeout=_REACH).close()
        except OSError as error:
            words = error.strerror or str(error)
            yield Panel(name).problem(
                "target", f"{host}:{port} does not accept connections: {words}", "Start it, or correct the URL"
            )
        else:
            yield Panel(name).ok("target", f"{host}:{port} accepts connections")


def _journals() -> list[Finding]:
    try:
        dead = unfinished(journal_home())
    except StorageError as error:
        return [_MACHINE.problem("journals", error.what, error.advice or "Look at the mesh, then remove that file")]
    return [
        _MACHINE.warning(
            "journals",
            f"{record.run} died and left config in a mesh of kind {record.mesh.kind}",
            "meshtrial recover (the next run does it first)",
        )
        for record in dead
    ] or [_MACHINE.ok("journals", "no dead run left anything")]


def _generators(plans: Sequence[Plan]) -> list[Finding]:
    """The generators that the experiments need on this machine (load from a pod is made there); both without experiments."""
    loads = [
        variant.load
        for plan in plans
        for variant in plan.variants
        if variant.load.at_gateway or not isinstance(plan.experiment.experiment.mesh, ClusterMesh)
    ]
    wants_locust = not plans or any(load.locust for load in loads)
    fortios = {load.fortio.binary for load in loads if load.fortio}
    found = []
    if wants_locust:
        found.append(_locust())
    found += [_fortio_found(binary, needed=True) for binary in fortios]
    if not plans:
        found.append(_fortio_found(None, needed=False))
    return found


def _locust() -> Finding:
    """In a process of its own: Locust patches whatever imports it."""
    code = "import locust; print(locust.__version__)"
    fix = f"{sys.executable} -m pip install --force-reinstall locust"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=False, timeout=_IMPORT_LIMIT, text=True
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return _LOAD.problem("Locust", f"Python could not be started to import it: {error}", fix)
    if done.returncode:
        words = done.stderr.strip().splitlines() or ["no reason given"]
        return _LOAD.problem("Locust", f"can't be imported: {words[-1]}", fix)
    return _LOAD.ok("Locust", f"Locust {done.stdout.strip()}")


def _fortio_found(binary: Path | None, *, needed: bool) -> Finding:
    try:
        program = find(binary, os.environ)
        return _LOAD.ok("fortio", f"fortio {version_of([program], os.environ)} ({program})")
    except InputError as error:
        return _LOAD.problem("fortio", error.problems[0].message, "Correct fortio.binary")
    except DriverError as error:
        fix = error.advice or "Install fortio"
        if needed:
            return _LOAD.problem("fortio", error.what, fix)
        return _LOAD.skipped("fortio", f"{error.what}; only load of kind fortio needs it", fix)


def _load_files(plans: Sequence[Plan]) -> tuple[list[Finding], list[Problem]]:
    """Start every generator that the experiments need, and end it: the only way to know that a load file works.

    Returns:
        Findings, and what is wrong with the load files.
    """
    from runner.conduct.drivers import try_load_files  # noqa: PLC0415 - only with experiments
    from runner.state import work_directory  # noqa: PLC0415 - the same

    try:
        with work_directory() as folder:
            problems = [problem for group in try_load_files(plans, folder) for problem in group]
    except OutsideError as error:
        return [_LOAD.problem("load files", error.what, error.advice or "See whether the generator runs by hand")], []
    return ([], problems) if problems else ([_LOAD.ok("load files", "every generator starts with them")], [])


def cluster_choice(context: str | None, namespace: str | None) -> ClusterMesh:
    """The cluster that the command line names, without an experiment."""
    given = {"namespace": namespace} if namespace else {}
    return ClusterMesh(cluster=ClusterTarget(context=context, **given))
