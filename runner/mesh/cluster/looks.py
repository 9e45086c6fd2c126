"""Looking at a proxy's config again, and reading only what may have changed since the last look.

A whole `config_dump` is a third of a megabyte, and a proxy writes it on the thread that takes config in. So istiod is asked which
proxies have acknowledged anything since (one question for all of them), and each of these what it counts of changes: its clusters and
listeners are read again if it added, changed, removed or refused any, its routes always, because Istio's sidecars count nothing of
these. What is put together that way is what the proxy holds as long as istiod saw no other acknowledgement meanwhile (`Confirmer`).
Where anything is not as usual (something refused or warming, filters that come by themselves, counters left out, no istiod to ask)
everything is read, in one answer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from runner.errors import MeshError
from runner.mesh.cluster.dump import parse_dump

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.mesh.cluster.admin import ProxyAdmin
    from runner.mesh.cluster.dump import Dump

_CLUSTERS = ("cluster_added", "cluster_modified", "cluster_removed", "cds.update_rejected", "warming_clusters")
_REPLACED = ("listener_modified", "listener_removed", "listener_in_place_updated")
_LISTENERS = ("listener_added", *_REPLACED, "listener_create_failure", "lds.update_rejected", "total_listeners_warming")
_DRAINING = ("total_listeners_draining", "total_filter_chains_draining")
_SERVER = ("uptime", "total_connections")
MARK_PATH = (
    "/stats?filter=^(cluster_manager%5C.(cluster_(added|modified|removed)|cds%5C.update_rejected|warming_clusters)"
    "|listener_manager%5C.(listener_(added|modified|removed|in_place_updated|create_failure)|lds%5C.update_rejected"
    "|total_(listeners_(warming|draining)|filter_chains_draining))|server%5C.(uptime|total_connections))$"
)
"""All of them are kept by Istio's sidecars whatever a pod's annotations say."""

_ROUTES_PATH = "/config_dump?resource=dynamic_route_configs"
_LISTENERS_PATH = "/config_dump?resource=dynamic_listeners"
_CLUSTERS_PATH = "/config_dump?resource=dynamic_active_clusters"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a proxy counts that moves whenever its clusters or listeners do.

    Attributes:
        clusters: of its clusters; the last one is how many are warming.
        listeners: of its listeners; the last one is how many are warming.
        replaced: how many listeners were replaced or removed, so that connections may be left which they had before.
        draining: listeners, and filter chains of listeners, that are no longer used for new connections, but have not ended.
        uptime: of the server, in seconds, when it last brought `connections` up to date (every 5 s with Istio).
        connections: how many were open to any of its listeners then.
        asked: by the monotonic clock, when it was asked.
        answered: when it had answered.
    """

    clusters: tuple[int, ...]
    listeners: tuple[int, ...]
    replaced: tuple[int, ...]
    draining: int
    uptime: int
    connections: int
    asked: float = field(default=0.0, compare=False)
    answered: float = field(default=0.0, compare=False)

    def restarted(self, earlier: Mark) -> bool:
        """Whether the proxy may have been started anew since an earlier mark, and counts from zero."""
        return self.answered - self.uptime >= earlier.asked

    @property
    def at_rest(self) -> bool:
        """Whether nothing is warming."""
        return not self.clusters[-1] and not self.listeners[-1]


@dataclass(frozen=True, slots=True)
class Look:
    """What a proxy held.

    Attributes:
        dump: its config.
        mark: its counters just before; None where it does not keep them.
    """

    dump: Dump
    mark: Mark | None


def read_dump(client: ProxyAdmin) -> Dump:
    """What a proxy holds now, in one answer.

    Raises:
        MeshError: it does not answer.
    """
    return _read(client, "/config_dump")


def read_mark(client: ProxyAdmin) -> Mark | None:
    """What it counts; None where it does not keep these counters.

    Raises:
        MeshError: it does not answer.
    """
    asked = time.monotonic()
    mark = parse_mark(client.get(MARK_PATH))
    return replace(mark, asked=asked, answered=time.monotonic()) if mark else None


def parse_mark(text: str) -> Mark | None:
    """An answer to `MARK_PATH`."""
    values: dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.rpartition(": ")
        if value.strip().isdigit():
            values[name] = int(value)
    try:
        clusters = _taken(values, "cluster_manager", _CLUSTERS)
        listeners = _taken(values, "listener_manager", _LISTENERS)
        replaced = _taken(values, "listener_manager", _REPLACED)
        draining = sum(_taken(values, "listener_manager", _DRAINING))
        uptime, connections = _taken(values, "server", _SERVER)
    except KeyError:
        return None
    return Mark(clusters, listeners, replaced, draining, uptime, connections)


def _taken(values: Mapping[str, int], group: str, names: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(values[f"{group}.{name}"] for name in names)


def look_at(client: ProxyAdmin, earlier: Look | None = None) -> Look:
    """What a proxy holds now.

    Args:
        client: the proxy.
        earlier: what it held before, of which parts that have not changed since may be taken; without it, everything is read.

    Raises:
        MeshError: it does not answer.
    """
    mark = read_mark(client)
    if (
        earlier is None
        or earlier.mark is None
        or mark is None
        or mark.restarted(earlier.mark)
        or not _usual(earlier, mark)
    ):
        return Look(read_dump(client), mark)
    dump = earlier.dump
    if mark.clusters != earlier.mark.clusters:
        dump = _with(dump, _read(client, _CLUSTERS_PATH), "clusters")
    if mark.listeners != earlier.mark.listeners:
        dump = _with(dump, _read(client, _LISTENERS_PATH), "listeners")
    return Look(_with(dump, _read(client, _ROUTES_PATH), "routes"), mark)


def _usual(earlier: Look, mark: Mark) -> bool:
    dump = earlier.dump
    return mark.at_rest and not dump.errors and not dump.warming and not dump.extensions


def _with(dump: Dump, part: Dump, name: str) -> Dump:
    return replace(
        dump,
        **{name: getattr(part, name)},
        errors={**dump.errors, **part.errors},
        warming=(*dump.warming, *part.warming),
    )


def _read(client: ProxyAdmin, path: str) -> Dump:
    try:
        return parse_dump(client.get(path))
    except ValueError as error:
        raise MeshError(f"{client.pod.name}: its config_dump can't be read: {error}") from None
