"""What a mesh must be able to do for a trial; the one dict of kinds is in `runner.mesh.kinds`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from runner.errors import MeshError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from runner.errors import Problem
    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.finding import Demands
    from runner.mesh.telemetry import Telemetry


class ChangedError(MeshError):
    """Somebody else changed or deleted what was to be changed, after it was last looked at."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a driver sends its requests.

    Attributes:
        url: base URL, `http://127.71.4.9:8080`.
        headers: headers that every request needs (the service's `Host` when traffic leaves from a workload).
        command: what stands before a generator's command line to have it run where the load leaves from; empty when that is
            this machine.
    """

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MeshDescription:
    """What a report says about a mesh.

    Attributes:
        kind: local, cluster or none.
        identity: what makes this very mesh the same one again, for the journal.
        app: the app that runs in it.
        envoy: the proxies' version.
        proxies: names of all proxies.
        workloads: by service, the workloads behind it (`{"reviews": ["reviews-v1", ...]}`).
        joined: whether it was up before this command.
        url: the target, of kind none; without a user's name and password.
        istio: the control plane's version, of a cluster; None when it can't be told.
        revisions: Istio's revisions that the proxies belong to.
        gateways: workloads of its ingress gateways.
        bare: by workload with a proxy, the pods without one that stand behind a Service of its own.
    """

    kind: str
    identity: str
    app: str | None = None
    envoy: str | None = None
    proxies: list[str] = field(default_factory=list)
    workloads: dict[str, list[str]] = field(default_factory=dict)
    joined: bool = False
    url: str | None = None
    istio: str | None = None
    revisions: list[str] = field(default_factory=list)
    gateways: list[str] = field(default_factory=list)
    bare: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Generators:
    """Pods for load generators, planned.

    Attributes:
        resource: what is made for them, for the journal.
        image: what they run.
        number: how many there are.
        source: where their load leaves from: `gateway`, or the workload whose place in the network they take.
        notes: what is not as one would expect, a sentence each.
    """

    resource: Resource
    image: str
    number: int
    source: str
    notes: tuple[str, ...] = ()


class GeneratorHost(Protocol):
    """A mesh that can run load generators beside its apps."""

    def expect_load(self, *, from_outside: bool) -> None:
        """Told whether any load will come from this machine."""
        ...

    def plan_generators(self, source: str, number: int, hold: tuple[str, ...]) -> Generators:
        """Pods whose load leaves from `source`; each is held by the command `hold` and a number of seconds.

        Raises:
            InputError: they can't be had.
        """
        ...

    def start_generators(self, wanted: Sequence[Generators], check: Callable[[], None]) -> list[list[tuple[str, ...]]]:
        """Make them; what stands before a command line to have it run in each pod, once all are ready.

        In it `{port}` stands for a port of this machine, to which the command's standard streams are connected.

        Args:
            wanted: which.
            check: called while it is waited; may raise.

        Raises:
            MeshError: a pod can't run; says why.
        """
        ...

    def end_generators(self, wanted: Sequence[Generators]) -> None:
        """Remove them; returns once nothing is left.

        Raises:
            MeshError: something is left.
        """
        ...

    def entry_inside(self, source: str, host: str | None = None) -> Entry:
        """Where they send their requests.

        Raises:
            InputError: it can't be reached from inside.
        """
        ...


class Mesh(Protocol):
    """A mesh that is up.

    All methods raise `MeshError` when the mesh can't do its part, and never leave half a config behind without
    saying so. Proxies are named by workload (`reviews-v1`; with several replicas `reviews-v1-0` and so on).
    """

    def describe(self) -> MeshDescription:
        """What this mesh is."""
        ...

    def applied(self) -> list[Resource]:
        """Every resource that the mesh holds now (a cluster: of the kinds and namespaces that a run may touch)."""
        ...

    def reach(self, keys: Iterable[ResourceKey]) -> None:
        """Name resources that the caller is about to change, wherever they are: from now on `applied` tells of them too.

        Raises:
            MeshError: one of them can't be looked at, or another command has the right to change it.
        """
        ...

    def check(self, resources: Sequence[Resource]) -> list[str]:
        """Try the state without touching anything.

        Args:
            resources: the whole state that is wanted (what is applied now is replaced by it in thought).

        Returns:
            Warnings, one sentence each.

        Raises:
            InputError: a resource can't be held by this mesh; file, line and reason.
        """
        ...

    def missing_app(self) -> list[Resource]:
        """What has to be applied first, for the run alone, because the mesh lacks the experiment's app; empty when it is there."""
        ...

    def entry_problems(self, resources: Sequence[Resource], source: str, host: str | None) -> list[tuple[str, Problem]]:
        """What is wrong with a load's `from` and `host` in a state, each under its key (`from`, `host`)."""
        ...

    def workloads(self) -> dict[str, list[str]]:
        """By service, the workloads behind it; empty when they can't be known."""
        ...

    def apply(self, put: Sequence[Resource], delete: Sequence[ResourceKey]) -> dict[str, str]:
        """Replace or add `put`, remove `delete`, and return once every proxy concerned holds the result.

        Returns:
            The config version that every proxy holds, by proxy.

        Raises:
            InputError: a resource can't be held by this mesh.
            ConfigRejectedError: a proxy refused; the state before was put back.
        """
        ...

    def give_back(self, put: Sequence[Resource], delete: Sequence[ResourceKey]) -> dict[str, str]:
        """As `apply`, to undo one: every resource for itself, so that one that can't be written keeps no other back.

        Nothing may be measured before the next `apply`: it may still be in flight what was sent by the earlier config.

        Raises:
            ChangedError: somebody changed a resource after `applied` told of it; all others were written.
            MeshError: a resource can't be written for another reason; says which were.
        """
        ...

    def last_writer(self, key: ResourceKey) -> str:
        """Who last wrote a resource as `applied` told of it, and when, in words; empty where that is not known."""
        ...

    def restore(self, resources: Sequence[Resource]) -> dict[str, str]:
        """Make the mesh hold exactly `resources` again; returns the version every proxy holds, by proxy."""
        ...

    def hold(self, who: str) -> AbstractContextManager[None]:
        """The right to change this mesh, for as long as the context lasts.

        Raises:
            MeshError: another command has it; says which.
        """
        ...

    def versions(self) -> dict[str, str]:
        """The config version that every proxy holds now, read from the proxies themselves.

        A proxy that does not answer is missing from the answer.
        """
        ...

    def admin(self, path: str) -> dict[str, str]:
        """The answer of every proxy's admin interface to `GET path` (as `pilot-agent request GET`), by proxy."""
        ...

    def workload_of(self, proxy: str) -> str:
        """The workload that a proxy belongs to."""
        ...

    def deaths(self) -> list[str]:
        """Proxies and apps that ended or restarted by themselves since the mesh was opened or mended, in words."""
        ...

    def mend(self) -> bool:
        """Wait until what `deaths` tells of has been replaced by whoever looks after it; whether the mesh is as it was opened."""
        ...

    def access_log(self, since: float, until: float) -> dict[str, list[str]]:
        """Lines of each proxy's access log between two wall-clock times (seconds since the epoch), by proxy."""
        ...

    def more_stats(self, demands: Demands) -> tuple[list[Resource], list[str]]:
        """Workloads changed so that their proxies keep the counters that an experiment reads, and what can't be helped, in words.

        Both are empty where proxies keep them all.
        """
        ...

    def telemetry(self) -> Telemetry:
        """What it can tell beside its proxies: Prometheus, its control plane's metrics, what its processes use."""
        ...

    def entry(self, source: str, host: str | None = None) -> Entry:
        """Where load enters.

        Args:
            source: `gateway`, or a workload whose sidecar the load leaves through.
            host: the `Host` asked for (`productpage:9080`); the app's front service when None.

        Raises:
            InputError: there is no such workload.
        """
        ...

    def leave_running(self) -> None:
        """Let go of a mesh without ending it, also when this command started it."""
        ...

    def close(self) -> None:
        """End what this command started; a mesh that was up before stays up."""
        ...
