"""The one dict of mesh kinds: how each is opened, and how a state is tried without opening it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from runner.errors import InputError, Problem
from runner.spec.mesh import ClusterMesh, LocalMesh, MeshChoice, NoMesh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from threading import Event

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.base import Mesh


class Preview(Protocol):
    """A mesh in thought: what it would hold, and whether it could hold a state."""

    def applied(self) -> list[Resource]:
        """What it holds before anything is applied."""
        ...

    def reach(self, keys: Iterable[ResourceKey]) -> None:
        """Name resources that are to be changed, wherever they are: `applied` tells of them too.

        Raises:
            MeshError: one of them can't be looked at, or another command has the right to change it.
        """
        ...

    def check(self, resources: Sequence[Resource]) -> list[str]:
        """Warnings about a whole state.

        Raises:
            InputError: the state can't be held.
        """
        ...

    def entry_problems(self, resources: Sequence[Resource], source: str, host: str | None) -> list[tuple[str, Problem]]:
        """What is wrong with a load's `from` and `host` in a state, each under its key (`from`, `host`)."""
        ...

    def workloads(self) -> dict[str, list[str]]:
        """By service, the workloads behind it; empty when they can't be known."""
        ...


@dataclass(frozen=True, slots=True)
class MeshKind:
    """A kind of mesh.

    Attributes:
        open: joins the mesh that is up, or starts one of its own (always when the second argument, `fresh`, is true); gives
            up starting it when the third, an event, is set.
        preview: tries states without anything running.
        reopen: the mesh of an identity (`MeshDescription.identity`), None when it is gone.
    """

    open: Callable[[MeshChoice, bool, Event | None], Mesh]
    preview: Callable[[MeshChoice], Preview]
    reopen: Callable[[str], Mesh | None]


def _open_local(choice: MeshChoice, fresh: bool, stop: Event | None) -> Mesh:
    from runner.mesh.local.mesh import LocalMesh as Local  # noqa: PLC0415 - only the kind in use is loaded

    app = _local(choice).app
    return (None if fresh else Local.join(app)) or Local.start(app, stop=stop)


def _preview_local(choice: MeshChoice) -> Preview:
    from runner.mesh.local.preview import LocalPreview  # noqa: PLC0415 - only the kind in use is loaded

    return LocalPreview(_local(choice).app)


def _reopen_local(identity: str) -> Mesh | None:
    from runner.mesh.local.mesh import LocalMesh as Local  # noqa: PLC0415 - only the kind in use is loaded

    return Local.reopen(identity)


def _open_none(
    choice: MeshChoice,
    fresh: bool,  # noqa: ARG001 - a URL is as fresh as it is
    stop: Event | None,  # noqa: ARG001 - nothing is started
) -> Mesh:
    from runner.mesh.none import PlainTarget  # noqa: PLC0415 - only the kind in use is loaded

    if not isinstance(choice, NoMesh):
        raise TypeError(choice)
    return PlainTarget(choice.none.url, choice.none.prometheus)


def _preview_none(_choice: MeshChoice) -> Preview:
    from runner.mesh.none import PlainPreview  # noqa: PLC0415 - only the kind in use is loaded

    return PlainPreview()


def _reopen_none(_identity: str) -> Mesh | None:
    return None


def _open_cluster(choice: MeshChoice, fresh: bool, stop: Event | None) -> Mesh:  # noqa: ARG001 - it is up, or it is not
    from runner.mesh.cluster.mesh import ClusterMesh as Cluster  # noqa: PLC0415 - only the kind in use is loaded

    if fresh:
        raise InputError(
            Problem("--fresh starts an embedded mesh; a cluster is there or is not", suggestion="Leave it out")
        )
    return Cluster.open(_cluster(choice).cluster)


def _preview_cluster(choice: MeshChoice) -> Preview:
    from runner.mesh.cluster.preview import ClusterPreview  # noqa: PLC0415 - only the kind in use is loaded

    return ClusterPreview(_cluster(choice).cluster.namespace)


def _reopen_cluster(identity: str) -> Mesh | None:
    from runner.mesh.cluster.mesh import ClusterMesh as Cluster  # noqa: PLC0415 - only the kind in use is loaded

    return Cluster.reopen(identity)


def _cluster(choice: MeshChoice) -> ClusterMesh:
    if not isinstance(choice, ClusterMesh):
        raise TypeError(choice)
    return choice


def _local(choice: MeshChoice) -> LocalMesh:
    if not isinstance(choice, LocalMesh):
        raise TypeError(choice)
    return choice


KINDS: dict[type[MeshChoice], MeshKind] = {
    LocalMesh: MeshKind(_open_local, _preview_local, _reopen_local),
    ClusterMesh: MeshKind(_open_cluster, _preview_cluster, _reopen_cluster),
    NoMesh: MeshKind(_open_none, _preview_none, _reopen_none),
}

KINDS_BY_NAME: dict[str, MeshKind] = {
    "local": KINDS[LocalMesh],
    "cluster": KINDS[ClusterMesh],
    "none": KINDS[NoMesh],
}

_NAMES: dict[type[MeshChoice], str] = {LocalMesh: "local", ClusterMesh: "cluster", NoMesh: "none"}


def kind_name(choice: MeshChoice) -> str:
    """What a choice's kind is called: local, cluster or none."""
    return _NAMES[type(choice)]


def mesh_kind(choice: MeshChoice) -> MeshKind:
    """The kind that an experiment's `mesh` names.

    Raises:
        InputError: this version can't use that kind.
    """
    kind = KINDS.get(type(choice))
    if kind is None:
        known = ", ".join(_NAMES[item] for item in KINDS)
        raise InputError(
            Problem(
                f"this version of meshtrial can't use a mesh of kind {_NAMES[type(choice)]}", expected=f"one of {known}"
            )
        )
    return kind
