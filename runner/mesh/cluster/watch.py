"""The latest look at each of many proxies, renewed where istiod says that a proxy has acknowledged something since."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.errors import MeshError
from runner.mesh.cluster.agreement import syncs_of
from runner.mesh.cluster.looks import look_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runner.mesh.cluster.admin import Fleet, ProxyAdmin
    from runner.mesh.cluster.dump import Dump
    from runner.mesh.cluster.istiod import Istiod, Sync
    from runner.mesh.cluster.looks import Look

_STALE = 2.0
"""Seconds after which a proxy that is still waited for is looked at whatever istiod says."""

_TYPES = ("cds", "lds", "rds", "ecds")
"""What a `config_dump` shows; endpoints are not in it."""

Acknowledged = tuple[str, ...]
"""The nonces that a proxy acknowledged last, and what it refused."""


@dataclass(slots=True)
class Watch:
    """The latest look at each proxy.

    Attributes:
        fleet: the proxies.
        istiod: asked for what they acknowledged, where it answers; where not, every look reads everything.
        looks: by proxy.
        syncs: how far the proxies were when istiod was last asked; empty where it can't be asked.
    """

    fleet: Fleet
    istiod: Istiod
    looks: dict[str, Look] = field(default_factory=dict)
    syncs: dict[str, Sync] = field(default_factory=dict)
    _known: dict[str, tuple[Acknowledged | None, float]] = field(default_factory=dict)
    """By proxy, what it had acknowledged before its latest look, and when that was."""

    @property
    def dumps(self) -> dict[str, Dump]:
        """What each proxy held when it was last looked at."""
        return {name: look.dump for name, look in self.looks.items()}

    def everything(self) -> None:
        """Look at all of every proxy; those that do not answer are forgotten."""
        self.looks.clear()
        self.renew(self.fleet.clients, whole=True)

    def renew(self, names: Iterable[str], *, whole: bool = False) -> set[str]:
        """Look again at those of `names` that may hold something else than at their latest look.

        Args:
            names: proxies.
            whole: look at all of each of them, and read everything in one answer.

        Returns:
            Those that were looked at and answered.
        """
        try:
            self.syncs = syncs_of(self.istiod, self.fleet)
        except (MeshError, ValueError):
            self.syncs = {}
        due = sorted(name for name in names if whole or self._is_due(name))
        if not due:
            return set()
        called = {id(self.fleet.clients[name]): name for name in due}
        now = time.monotonic()

        def look(client: ProxyAdmin) -> Look:
            earlier = None if whole else self._earlier(called[id(client)])
            return look_at(client, earlier)

        found = self.fleet.each(look, due)
        for name in found:
            self._known[name] = (self._acknowledged(name, self.syncs), now)
        self.looks.update(found)
        return set(found)

    def overtaken(self, syncs: Mapping[str, Sync], names: Iterable[str]) -> set[str]:
        """Those that have acknowledged something after their latest look, or while they were looked at.

        Args:
            syncs: how far the proxies are, asked after that.
            names: proxies.
        """
        return {
            name for name in names if name in self._known and self._known[name][0] != self._acknowledged(name, syncs)
        }

    def _is_due(self, name: str) -> bool:
        look = self.looks.get(name)
        if look is None or look.dump.warming or (look.mark is not None and not look.mark.at_rest):
            return True
        acknowledged = self._acknowledged(name, self.syncs)
        known, when = self._known[name]
        if acknowledged is None or known is None or time.monotonic() - when > _STALE:
            return True
        sync = self.syncs[self._proxy_id(name)]
        return acknowledged != known and (sync.settled or bool(sync.rejected))

    def _earlier(self, name: str) -> Look | None:
        """What may be taken over from the latest look; nothing where istiod can't tell what came since."""
        sync = self.syncs.get(self._proxy_id(name))
        known = self._known.get(name)
        usual = sync is not None and not sync.nonces.get("ecds") and known is not None and known[0] is not None
        return self.looks.get(name) if usual else None

    def _acknowledged(self, name: str, syncs: Mapping[str, Sync]) -> Acknowledged | None:
        sync = syncs.get(self._proxy_id(name))
        return None if sync is None else (*(sync.nonces.get(kind, "") for kind in _TYPES), sync.rejected)

    def _proxy_id(self, name: str) -> str:
        return self.fleet.clients[name].pod.proxy_id
