"""The embedded mesh as a `Mesh`: apply is translate, write, confirm on every proxy; undo is the same with the state before."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import ConfigRejectedError, InputError, MeshError, Problem, StorageError
from runner.mesh.base import Entry, MeshDescription
from runner.mesh.local import launch
from runner.mesh.local.access_log import lines_between
from runner.mesh.local.admin import AdminFleet
from runner.mesh.local.appfile import find_app, load_app
from runner.mesh.local.delivery import blamed_for, push_all
from runner.mesh.local.entry import direct_url, entry_problems, find_pod, split_host, workloads_by_service
from runner.mesh.local.instance import living_instances, standing_instance
from runner.mesh.local.preview import check_state, without_declared
from runner.mesh.local.translate.names import listen_port
from runner.mesh.local.usage import LocalTelemetry
from runner.mesh.local.xds import held_versions
from runner.spec.load_profile import GATEWAY_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from threading import Event

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.finding import Demands
    from runner.mesh.local.instance import Instance
    from runner.mesh.local.topology import Pod
    from runner.mesh.local.xds import Wanted


class LocalMesh:
    """An embedded mesh that is up; make one with `start` or `join`."""

    def __init__(self, instance: Instance, launched: launch.Launched | None = None, *, joined: bool) -> None:
        self.instance = instance
        self._launched = launched
        self._joined = joined
        self._app = load_app(Path(instance.app_file))
        self._fleet = AdminFleet(instance.topology.proxied)
        applied = instance.applied()
        self._resources = self._app.resources if applied is None else applied
        self._wanted = self._configs(self._resources)
        self._unsure = False
        """Whether an apply broke off, so that some proxies may hold something else than `_wanted`."""

    @classmethod
    def start(cls, app: str, *, owned: bool = True, stop: Event | None = None) -> LocalMesh:
        """Start a mesh for an app (a shipped one's name, or the path of an app file); give up when `stop` is set.

        Raises:
            InputError: the app file can't be used.
            MeshError: it could not be started.
        """
        launched = launch.launch(load_app(find_app(app)), owned=owned, stop=stop)
        return cls(launched.instance, launched, joined=False)

    @classmethod
    def join(cls, app: str | None = None) -> LocalMesh | None:
        """The mesh that `mesh up` left running (of an app, or of any); None without one.

        Raises:
            InputError: there is no such app.
        """
        instance = standing_instance(find_app(app) if app else None)
        return cls(instance, joined=True) if instance else None

    @classmethod
    def reopen(cls, identity: str) -> LocalMesh | None:
        """The running mesh of that identity; None when it is gone."""
        for instance in living_instances():
            if instance.identity == identity:
                return cls(instance, joined=True)
        return None

    def describe(self) -> MeshDescription:
        """What this mesh is."""
        return MeshDescription(
            kind="local",
            identity=self.instance.identity,
            app=self.instance.topology.app,
            envoy=self.instance.envoy,
            proxies=[pod.name for pod in self.instance.topology.proxied],
            workloads=self.workloads(),
            joined=self._joined,
            gateways=list(dict.fromkeys(pod.called for pod in self.instance.topology.proxied if pod.role == "gateway")),
        )

    def workloads(self) -> dict[str, list[str]]:
        """By service, the workloads behind it."""
        return workloads_by_service(self.instance.topology)

    def workload_of(self, proxy: str) -> str:
        """The workload that a proxy belongs to."""
        return self.instance.topology.pod(proxy).called

    def applied(self) -> list[Resource]:
        """What the mesh holds."""
        return list(self._resources)

    @contextlib.contextmanager
    def hold(self, who: str) -> Iterator[None]:
        """The right to change this mesh, for as long as the context lasts.

        What another command applied in the meantime is read first; what a command that died left half written is put right.
        """
        with self.instance.in_use(who):
            applied = self.instance.applied()
            self._resources = self._app.resources if applied is None else applied
            self._wanted = self._configs(self._resources)
            held = self.versions()
            stray = [name for name, wanted in self._wanted.items() if held.get(name) != wanted.version]
            if stray:
                push_all(self._fleet, self.instance, {}, {name: self._wanted[name] for name in stray})
            yield

    def reach(self, keys: Iterable[ResourceKey]) -> None:
        """Nothing to do: `applied` tells of everything that it holds."""

    def check(self, resources: Sequence[Resource]) -> list[str]:
        """Lint a whole state and translate it for every proxy, without touching one.

        Raises:
            InputError: the state can't be held by the embedded mesh.
        """
        return check_state(self._app, self.instance.topology, resources)

    def missing_app(self) -> list[Resource]:
        """Nothing: an embedded mesh is made for its app."""
        return []

    def entry_problems(self, resources: Sequence[Resource], source: str, host: str | None) -> list[tuple[str, Problem]]:
        """What is wrong with a load's `from` and `host` in a state, each under its key."""
        return list(entry_problems(self.instance.topology, self.instance.front, resources, source, host))

    def apply(self, put: Sequence[Resource], delete: Sequence[ResourceKey] = ()) -> dict[str, str]:
        """Replace or add `put`, remove `delete`; returns once every proxy holds the result.

        A proxy that has died is passed over; `deaths` tells of it.

        Raises:
            InputError: a resource can't be held by the embedded mesh; nothing was touched.
            ConfigRejectedError: a proxy refused; all proxies hold what they held before.
            MeshError: a proxy that lives does not answer.
        """
        fresh = without_declared(self._app, put)
        state = {resource.key: resource for resource in self._resources if resource.key not in set(delete)}
        state.update({resource.key: resource for resource in fresh})
        return self._move(list(state.values()))

    def give_back(self, put: Sequence[Resource], delete: Sequence[ResourceKey] = ()) -> dict[str, str]:
        """As `apply`: nobody else can change this mesh while it is held.

        Raises:
            MeshError: as `apply`.
        """
        return self.apply(put, delete)

    def last_writer(self, key: ResourceKey) -> str:  # noqa: ARG002 - the protocol's argument
        """Not known: nothing here notes who wrote what."""
        return ""

    def restore(self, resources: Sequence[Resource]) -> dict[str, str]:
        """Make the mesh hold exactly `resources`, in their order; whatever it holds now goes.

        Raises:
            MeshError: as `apply`.
        """
        return self._move(list(resources))

    def _move(self, resources: list[Resource]) -> dict[str, str]:
        try:
            return self._move_to(resources)
        except OSError as error:
            raise StorageError(
                f"the mesh's folder {self.instance.folder} can't be written: {error.strerror or error}",
                advice="Free space, or set XDG_STATE_HOME to a writable place",
            ) from None

    def _move_to(self, resources: list[Resource]) -> dict[str, str]:
        after = self._configs(resources)
        before, self._unsure = {} if self._unsure else self._wanted, True
        try:
            push_all(self._fleet, self.instance, before, after)
        except ConfigRejectedError as error:
            with contextlib.suppress(MeshError):
                push_all(self._fleet, self.instance, after, self._wanted)
                self._unsure = False
            blamed = blamed_for(str(error), self.instance, self._app, self._resources, resources)
            if blamed:
                places = ", ".join(f"{resource.position()} ({resource.key})" for resource in blamed)
                error.what += f"; caused by {places}"
            if not self._unsure:
                error.restored = "Every proxy was given back what it held before"
            raise
        self._unsure = False
        self._wanted = after
        self._resources = resources
        self.instance.save_applied(resources)
        return {name: wanted.version for name, wanted in after.items()}

    def _configs(self, resources: Sequence[Resource]) -> dict[str, Wanted]:
        return {pod.name: launch.config_for(self.instance, pod, resources) for pod in self.instance.topology.proxied}

    def versions(self) -> dict[str, str]:
        """The config version each proxy holds now; a proxy that does not answer is missing."""
        return held_versions(self._fleet, self._wanted)

    def mend(self) -> bool:
        """Nobody starts again what has ended here."""
        return not self.deaths()

    def deaths(self) -> list[str]:
        """Processes of the mesh that ended by themselves, in words."""
        return [f"{death.name} {death.how}" for death in self.instance.deaths()]

    def admin(self, path: str) -> dict[str, str]:
        """`GET path` of every proxy's admin interface, by proxy; one that does not answer is missing."""
        return dict(self._fleet.get(path))

    def access_log(self, since: float, until: float) -> dict[str, list[str]]:
        """Each proxy's access log between two wall-clock times, by proxy."""
        return {
            pod.name: lines_between(launch.pod_paths(self.instance.folder, pod).access_log, since, until)
            for pod in self.instance.topology.proxied
        }

    def more_stats(self, demands: Demands) -> tuple[list[Resource], list[str]]:  # noqa: ARG002 - the protocol's argument
        """Nothing to change: these proxies keep every counter."""
        return [], []

    def telemetry(self) -> LocalTelemetry:
        """What the mesh can tell beside its proxies: what its processes use."""
        return LocalTelemetry(self.instance.folder, self.workload_of)

    def entry(self, source: str, host: str | None = None) -> Entry:
        """Where load enters: `gateway`, a workload whose sidecar it leaves through, or the service itself for one without.

        Raises:
            InputError: there is no such workload, no HTTP server at the gateway, or no pod of the service.
        """
        if source in GATEWAY_NAMES:
            return Entry(self.gateway_url(), {"Host": host} if host else {})
        pod = self.find_pod(source)
        target = host or self.instance.front
        if not pod.proxied:
            return Entry(direct_url(self.instance.topology, self._resources, pod, target), {"Host": target})
        _, port = split_host(target)
        return Entry(f"http://{pod.outbound}:{listen_port(port)}", {"Host": target})

    def find_pod(self, workload: str) -> Pod:
        """The (first) pod of a workload, a pod's name or a service's name with one workload.

        Raises:
            InputError: there is none.
        """
        return find_pod(self.instance.topology, workload)

    def gateway_url(self) -> str:
        """The base URL of the ingress gateway's first HTTP port.

        Raises:
            InputError: no Gateway with an HTTP server is applied.
        """
        gateway = next(pod for pod in self.instance.topology.pods if pod.role == "gateway")
        ports = _listener_ports(self._wanted[gateway.name], gateway.address)
        if not ports:
            raise InputError("no Gateway with an HTTP server is applied, so nothing can enter at the gateway")
        return f"http://{gateway.address}:{ports[0]}"

    def close(self) -> None:
        """End the mesh if this command started it for itself; a standing mesh stays."""
        self._fleet.close()
        launched, self._launched = self._launched, None
        if launched is not None and launched.owner is not None:
            os.close(launched.owner)
            launch.end(self.instance, launched.supervisor)

    def leave_running(self) -> None:
        """Close without ending the mesh; one that this command started for itself becomes a standing one."""
        self._fleet.close()
        launched, self._launched = self._launched, None
        if launched is not None:
            launch.let_go(launched)


def _listener_ports(wanted: Wanted, address: str) -> list[int]:
    import json  # noqa: PLC0415 - for this function alone

    sockets = [listener["address"]["socket_address"] for listener in json.loads(wanted.lds)["resources"]]
    return sorted(item["port_value"] for item in sockets if item["address"] == address)
