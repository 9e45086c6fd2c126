"""Whether an embedded mesh could hold a state, found out without starting a process: for `validate`, `plan`, and before every run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import InputError, Problem
from runner.istio.kube import Deployment
from runner.istio.lint import PodLabels, lint
from runner.istio.load import typed
from runner.mesh.local.appfile import Workload, find_app, load_app
from runner.mesh.local.entry import entry_problems, workloads_by_service
from runner.mesh.local.topology import workload_name
from runner.mesh.local.translate import ProxyPaths, check_supported, translate
from runner.yamlfile.documents import shown_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.local.appfile import AppFile
    from runner.mesh.local.topology import Topology

_DECLARED_KINDS = frozenset({"Deployment", "Namespace", "ServiceAccount"})


class LocalPreview:
    """An embedded mesh in thought.

    Raises:
        InputError: the app file can't be used.
    """

    def __init__(self, app: str) -> None:
        self._app = load_app(find_app(app))
        self._topology = self._app.topology("127.64.0")

    def applied(self) -> list[Resource]:
        """What the mesh holds before anything is applied."""
        return list(self._app.resources)

    def reach(self, keys: Iterable[ResourceKey]) -> None:
        """Nothing to do: all that it holds is known."""

    def check(self, resources: Sequence[Resource]) -> list[str]:
        """Warnings about a whole state.

        Raises:
            InputError: the state can't be held.
        """
        return check_state(self._app, self._topology, resources)

    def entry_problems(self, resources: Sequence[Resource], source: str, host: str | None) -> list[tuple[str, Problem]]:
        """What is wrong with a load's `from` and `host` in a state, each under its key."""
        return list(entry_problems(self._topology, self._app.front, resources, source, host))

    def workloads(self) -> dict[str, list[str]]:
        """By service, the workloads behind it."""
        return workloads_by_service(self._topology)


def check_state(app: AppFile, topology: Topology, resources: Sequence[Resource]) -> list[str]:
    """Lint a whole state and translate it for every proxy.

    Returns:
        Warnings, one sentence each.

    Raises:
        InputError: every problem of the state, each with its place.
    """
    problems: list[Problem] = []
    warnings: list[str] = []
    held: list[Resource] = []
    for resource in resources:
        try:
            held += without_declared(app, [resource])
        except InputError as error:
            problems += error.problems
    pods = [
        PodLabels(
            namespace=pod.namespace,
            labels=pod.labels,
            ports=pod.ports,
            sidecar=pod.role == "sidecar",
            service_account=pod.service_account,
        )
        for pod in topology.pods
    ]
    for finding in lint(held, pods):
        if finding.severity == "error":
            problems.append(finding.problem)
        else:
            warnings.append(str(finding.problem))
    if problems:
        raise InputError(problems)
    warnings += check_supported(held, topology)
    for pod in topology.proxied:
        translate(topology, held, pod, ProxyPaths(Path("/nowhere")))
    return list(dict.fromkeys(warnings))


def without_declared(app: AppFile, resources: Sequence[Resource]) -> list[Resource]:
    """A state without what the app file already stands for: Deployments that run, their namespaces and service accounts.

    Raises:
        InputError: a Deployment that the app file does not declare; the embedded mesh would not know what to run.
    """
    for resource in resources:
        called = workload_name(resource.key.name, resource.key.namespace)
        if resource.key.kind == "Deployment" and called not in app.workloads:
            raise InputError(
                Problem(
                    f"the embedded mesh has no workload {called}",
                    resource.position(),
                    expected="one of " + ", ".join(app.workloads),
                    suggestion="Declare it, with the command that runs it, in the app file",
                )
            )
        if isinstance(deployment := typed(resource), Deployment):
            _refuse_another(resource, Workload.of(resource, deployment, app.plain_namespaces), app)
    return [resource for resource in resources if resource.key.kind not in _DECLARED_KINDS]


def _refuse_another(resource: Resource, wanted: Workload, app: AppFile) -> None:
    """A Deployment whose pods would be others than those that run can't be applied, so it is no use to say that it was."""
    runs = app.workloads[wanted.called]
    for field, there in asdict(runs).items():
        here = getattr(wanted, field)
        if here != there:
            raise InputError(
                Problem(
                    f"the Deployment {wanted.name} has other {field.replace('_', ' ')} than the workload that runs",
                    resource.position(),
                    expected=f"{there}, as in {shown_path(app.path)}",
                    suggestion="The embedded mesh can't change workloads that run: use an app file of your own",
                )
            )
