"""Where load leaves from: a workload of the run's namespace, or `WORKLOAD.NAMESPACE` of another one, such as a client without a sidecar."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.mesh.cluster.api import segment
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.pods import list_pods

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.pods import Pod


@dataclass(frozen=True, slots=True)
class Origin:
    """A workload with its neighbours.

    Attributes:
        workload: its name there.
        namespace: where it is.
        pods: of that namespace.
        foreign: whether that is another namespace than the run's.
    """

    workload: str
    namespace: str
    pods: Sequence[Pod] = field(default_factory=list)
    foreign: bool = False

    def host(self, host: str | None, home: str) -> str | None:
        """A `host` as it is written from there: a short name is one of the run's namespace."""
        if host is None or not self.foreign:
            return host
        name, colon, port = host.partition(":")
        return host if "." in name else f"{name}.{home}{colon}{port}"


def origin_of(api: Api, home: str, pods: Sequence[Pod], source: str) -> Origin:
    """What a load's `from` means.

    Args:
        api: the cluster.
        home: the run's namespace.
        pods: of that namespace.
        source: as written; a workload of the run's namespace whose name has a dot comes first.

    Raises:
        MeshError: the other namespace can't be looked at.
    """
    workload, dot, namespace = source.rpartition(".")
    if not dot or namespace == home or any(source in {pod.workload, pod.name} for pod in pods):
        return Origin(workload if namespace == home and dot else source, home, pods)
    try:
        return Origin(workload, namespace, list_pods(api, namespace), foreign=True)
    except StatusError as error:
        if not error.not_found:
            raise
        return Origin(workload, namespace, [], foreign=True)


def labels_of(api: Api, namespace: str) -> dict[str, str]:
    """A namespace's labels; none where it may not be looked at.

    Raises:
        MeshError: the server can't be asked.
    """
    try:
        found = api.get(f"/api/v1/namespaces/{segment(namespace)}")
    except StatusError as error:
        if not (error.forbidden or error.not_found):
            raise
        return {}
    return dict((found.get("metadata") or {}).get("labels") or {})


def selectors_of(api: Api, namespace: str) -> list[dict[str, str]]:
    """The selectors of a namespace's Services; none where they may not be looked at.

    Raises:
        MeshError: the server can't be asked.
    """
    try:
        items = api.get(f"/api/v1/namespaces/{segment(namespace)}/services").get("items") or []
    except StatusError as error:
        if not error.forbidden:
            raise
        return []
    return [dict((item.get("spec") or {}).get("selector") or {}) for item in items]
