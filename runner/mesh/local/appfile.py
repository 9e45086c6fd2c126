"""The file that declares an app for the embedded mesh: its Kubernetes manifests, and which command runs each Deployment here.

app: bookinfo
manifests: [bookinfo.yaml]          # Services, Deployments, ServiceAccounts
base: [bookinfo-gateway.yaml]       # Istio resources applied at start
front: productpage:9080             # the service that load from a workload talks to
commands:
  productpage-v1: {run: ["{python}", "-m", "shop.productpage"], ready: /health}
clients: [client]                   # Deployments without a command: a sidecar only

A Deployment in another namespace than `default` is called `NAME.NAMESPACE` here. Pods get a sidecar unless they say no
(`sidecar.istio.io/inject: "false"`), or their Namespace is among the manifests and has no injection label.
"""

from __future__ import annotations

import difflib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from runner.errors import InputError, Problem
from runner.istio.kube import Deployment, Service, injects
from runner.istio.load import load_manifests, merge, typed
from runner.mesh.local.topology import Pod, Topology, workload_name
from runner.yamlfile.documents import read_documents, shown_path
from runner.yamlfile.problems import suggest, validate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from runner.errors import Position
    from runner.istio.resource import Resource

SHIPPED = Path(__file__).parent / "apps"
GATEWAY = "istio-ingressgateway"
_GATEWAY_LABELS = {"istio": "ingressgateway", "app": GATEWAY}
_MOST_PODS = 60


def _names_a_folder(value: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._-]*", value):
        raise ValueError(f"{value!r} names a folder, so it takes letters, digits and . _ -")
    return value


class Command(BaseModel):
    """How one Deployment's container runs on this machine.

    `run` may use `{python}`, `{address}` and `{port}`; the process also gets them as BIND_ADDRESS and PORT.
    """

    model_config = ConfigDict(extra="forbid")
    run: list[str] = Field(min_length=1)
    ready: str | None = None
    env: dict[str, str] = Field(default_factory=dict)


class AppDeclaration(BaseModel):
    """The app file's keys."""

    model_config = ConfigDict(extra="forbid")
    app: Annotated[str, Field(max_length=60), AfterValidator(_names_a_folder)]
    manifests: list[Path] = Field(min_length=1)
    base: list[Path] = Field(default_factory=list)
    front: str
    commands: dict[str, Command] = Field(default_factory=dict)
    clients: list[str] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment of the app, as far as the mesh needs it."""

    name: str
    namespace: str
    labels: dict[str, str]
    service_account: str
    ports: tuple[int, ...]
    replicas: int
    sidecar: bool = True

    @property
    def called(self) -> str:
        """Its name among the workloads of all namespaces."""
        return workload_name(self.name, self.namespace)

    @classmethod
    def of(cls, resource: Resource, deployment: Deployment, plain_namespaces: Collection[str] = ()) -> Workload:
        """The workload that a Deployment resource declares.

        Args:
            resource: the Deployment.
            deployment: its spec.
            plain_namespaces: those whose pods get a sidecar only when they ask for one.
        """
        asked = deployment.sidecar
        ports = tuple(port.container_port for port in deployment.container_ports)
        return cls(
            name=resource.key.name,
            namespace=resource.key.namespace,
            labels=dict(deployment.labels),
            service_account=deployment.service_account_name,
            ports=ports,
            replicas=deployment.replicas,
            sidecar=resource.key.namespace not in plain_namespaces if asked is None else asked,
        )


@dataclass(frozen=True, slots=True)
class AppFile:
    """An app that was read and checked.

    Attributes:
        name: the app's name.
        path: the app file.
        resources: what the mesh holds before anything is applied: the app's Services and its base resources.
        workloads: its Deployments by name (`NAME.NAMESPACE` outside the namespace `default`).
        commands: by the same names.
        front: `service:port` that load from a workload talks to by default.
        plain_namespaces: those whose pods get a sidecar only when they ask for one.
    """

    name: str
    path: Path
    resources: list[Resource]
    workloads: dict[str, Workload]
    commands: dict[str, Command]
    front: str
    plain_namespaces: frozenset[str] = frozenset()

    def topology(self, prefix: str) -> Topology:
        """Every pod's addresses in the /24 network that `prefix` (`127.71.4`) names."""
        pods = [
            Pod(
                name=name,
                workload=workload.name,
                role="sidecar" if workload.sidecar else "plain",
                address=f"{prefix}.{10 + index}",
                outbound=f"{prefix}.{80 + index}",
                app=f"{prefix}.{150 + index}" if workload.sidecar else f"{prefix}.{10 + index}",
                namespace=workload.namespace,
                labels=workload.labels,
                service_account=workload.service_account,
                ports=workload.ports if workload.called in self.commands else (),
            )
            for index, (workload, name) in enumerate(self._replicas())
        ]
        gateway = Pod(
            name=GATEWAY,
            workload=GATEWAY,
            role="gateway",
            address=f"{prefix}.9",
            outbound=f"{prefix}.79",
            app=f"{prefix}.149",
            namespace="istio-system",
            labels=_GATEWAY_LABELS,
            service_account="istio-ingressgateway-service-account",
        )
        return Topology(self.name, (gateway, *pods))

    def _replicas(self) -> Iterator[tuple[Workload, str]]:
        for workload in self.workloads.values():
            for replica in range(workload.replicas):
                pod = f"{workload.name}-{replica}" if workload.replicas > 1 else workload.name
                yield workload, workload_name(pod, workload.namespace)


def find_app(name: str) -> Path:
    """The app file of a shipped app's name, or of a path.

    Raises:
        InputError: there is no such app.
    """
    if "/" in name or name.endswith((".yaml", ".yml")):
        return Path(name).absolute()
    path = SHIPPED / name / "app.yaml"
    if not path.is_file():
        shipped = sorted(entry.parent.name for entry in SHIPPED.glob("*/app.yaml"))
        expected = f"one of {', '.join(shipped)}, or the path of an app file"
        raise InputError(Problem(f'there is no app "{name}"', expected=expected, suggestion=suggest(name, shipped)))
    return path


def load_app(path: Path) -> AppFile:
    """Read an app file and everything it names.

    Raises:
        InputError: something in it can't be used; file, line, column.
    """
    documents = read_documents(path, shown_path(path))
    if len(documents) != 1:
        raise InputError(Problem(f"{path}: an app file holds exactly one YAML document"))
    document = documents[0]
    declared = validate(AppDeclaration, document)
    folder = path.parent

    def resources(key: str, files: list[Path]) -> list[Resource]:
        found: list[Resource] = []
        for index, file in enumerate(files):
            shown = shown_path(folder / file)
            if not (folder / file).is_file():
                near = difflib.get_close_matches(file.name, [entry.name for entry in folder.iterdir()], n=1)
                raise InputError(
                    Problem(
                        f"{shown}: no such file",
                        document.position((key, index)),
                        "a manifest",
                        f'Did you mean "{file.parent / near[0]}"?' if near else None,
                    )
                )
            found += load_manifests(folder / file, shown)
        return found

    manifests = resources("manifests", declared.manifests)
    plain = _plain_namespaces(manifests)
    every = [
        Workload.of(resource, item, plain) for resource in manifests if isinstance(item := typed(resource), Deployment)
    ]
    workloads = {workload.called: workload for workload in every}
    problems = [
        Problem(
            f'no Deployment is called "{name}"',
            document.position((key, name) if key == "commands" else (key, index), key=key == "commands"),
            suggestion=suggest(name, workloads),
        )
        for key, names in (("commands", list(declared.commands)), ("clients", declared.clients))
        for index, name in enumerate(names)
        if name not in workloads
    ]
    problems += [
        Problem(f"the Deployment {name} has a command but no container port", document.position(("commands", name)))
        for name in declared.commands
        if name in workloads and not workloads[name].ports
    ]
    problems += [
        Problem(f'the Deployment "{name}" has neither a command nor a place under clients', document.position(()))
        for name in workloads
        if name not in declared.commands and name not in declared.clients
    ]
    if sum(workload.replicas for workload in workloads.values()) > _MOST_PODS:
        problems.append(Problem(f"more than {_MOST_PODS} pods don't fit one embedded mesh", document.position(())))
    services = [resource for resource in manifests if resource.key.kind == "Service"]
    problems += _front_problems(declared.front, services, document.position(("front",)))
    if problems:
        raise InputError(problems)
    base = resources("base", declared.base)
    return AppFile(
        name=declared.app,
        path=path,
        resources=merge(services, base),
        workloads=workloads,
        commands=declared.commands,
        front=declared.front,
        plain_namespaces=plain,
    )


def _plain_namespaces(manifests: list[Resource]) -> frozenset[str]:
    """The namespaces that are declared without an injection label; those that nobody declares have sidecars."""
    return frozenset(
        resource.key.name
        for resource in manifests
        if resource.key.kind == "Namespace" and not injects(resource.body["metadata"].get("labels") or {})
    )


def _front_problems(front: str, services: list[Resource], where: Position) -> Iterator[Problem]:
    """What is wrong with the service that load from a workload talks to."""
    ports = {
        workload_name(resource.key.name, resource.key.namespace): [str(port.port) for port in item.ports]
        for resource in services
        if isinstance(item := typed(resource), Service)
    }
    known = [f"{name}:{port}" for name, numbers in ports.items() for port in numbers]
    if front not in {*known, *(name for name, numbers in ports.items() if "80" in numbers)}:
        yield Problem(
            f'no Service has "{front}"', where, "one of " + ", ".join(known) if known else None, suggest(front, known)
        )


def command_line(command: Command, pod: Pod) -> list[str]:
    """The command of a pod's app with its placeholders filled in."""
    values = {"python": sys.executable, "address": pod.app, "port": str(pod.ports[0]) if pod.ports else ""}
    return [part.format_map(_Kept(values)) for part in command.run]


class _Kept(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "{" + key + "}"
