"""When has a change arrived? When the proxies themselves show it, and istiod, where it can be asked, agrees.

For every proxy concerned:

1. its `config_dump` holds what the changed resources say (`runner.mesh.cluster.expect`), and nothing of the deleted ones;
2. where istiod answers: it has read the very versions that were written, and the proxy has acknowledged all that it was sent;
3. the part of its config in which a resource shows that was written is another than before: 1 does not look at everything (a header
   match, say), and proxies get a push one by one. A change that makes no difference to a proxy is told from one that has not arrived
   by istiod alone (`runner.mesh.cluster.agreement`).

It is polled, with an end: no sleep stands for it. Istiod is asked first, in one question for all proxies, and only a proxy that has
acknowledged something is looked at again (`runner.mesh.cluster.watch`). What counts is what is seen there: the last look at every
proxy comes after the last thing that it acknowledged.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.errors import ConfigRejectedError, MeshError
from runner.mesh.cluster.agreement import Agreement
from runner.mesh.cluster.drains import Drains
from runner.mesh.cluster.expect import lacking
from runner.mesh.cluster.traces import MARKED, UNNAMED, made_by
from runner.mesh.cluster.visible import KIND as SIDECAR
from runner.mesh.cluster.visible import unheld, why_unheld
from runner.mesh.cluster.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.cluster.admin import Fleet
    from runner.mesh.cluster.dump import Dump
    from runner.mesh.cluster.expect import State
    from runner.mesh.cluster.istiod import Istiod, Sync
    from runner.mesh.cluster.looks import Look

__all__ = ["CONFIRM_LIMIT", "LOST_AFTER", "Before", "Change", "Confirmer"]

CONFIRM_LIMIT = 60.0
"""The longest wait, in seconds, for all proxies to hold a change: a bound for failure, never a delay."""

LOST_AFTER = 15.0
"""Seconds after which istiod will not push a deletion any more that it has not pushed (longer than it may hold a push back)."""

_FIRST_POLL, _LAST_POLL, _SLOWER = 0.05, 0.5, 1.2
_PATCHWORK = 3
"""How often looks may be overtaken by pushes before a proxy's config is read in one answer instead."""
_SHOWN = 3


Said = tuple["Dump", str | None]
"""A look, and what it lacks."""


@dataclass(frozen=True, slots=True)
class Change:
    """What was written and is to arrive.

    Attributes:
        state: the whole state that is wanted.
        put: resources that were written, as far as their specs changed.
        deleted: keys that are gone.
        versions: the resourceVersion of each that was written.
        removed: those that are gone, as they were.
    """

    state: State
    put: Sequence[Resource]
    deleted: Sequence[ResourceKey]
    versions: Mapping[ResourceKey, str] = field(default_factory=dict)
    removed: Sequence[Resource] = ()

    @property
    def traced(self) -> list[Resource]:
        """What must leave a trace in proxies; of what is gone, where nothing else tells that it is."""
        written = [item for item in self.put if item.key.kind in MARKED or item.key.kind in UNNAMED]
        return [*written, *(item for item in self.removed if item.key.kind in UNNAMED)]

    @property
    def keys(self) -> list[ResourceKey]:
        """Everything that changed."""
        return [*(item.key for item in self.put), *self.deleted]


@dataclass(slots=True)
class Before:
    """What was there before a change.

    Attributes:
        dumps: by proxy.
        syncs: by `POD.NAMESPACE`.
        looks: by proxy, what the dumps are part of.
    """

    dumps: dict[str, Dump] = field(default_factory=dict)
    syncs: dict[str, Sync] = field(default_factory=dict)
    looks: dict[str, Look] = field(default_factory=dict)


@dataclass(slots=True)
class Confirmer:
    """Waits for changes to arrive at all proxies of a mesh.

    Attributes:
        fleet: the proxies.
        istiod: asked too where it answers.
        namespace: of the experiment.
        living: the proxies whose pods are there, asked where some do not answer: one that is gone holds nothing that could be changed.
        limit: how long a change may take, in seconds.
        again: deletes resources once more, after putting them back: istiod may have lost sight of a deletion (see `wait`).
        planned: what a run is to try, each with its spelling: of what was there before, and is given back, it is not asked for whom
            it makes a difference.
    """

    fleet: Fleet
    istiod: Istiod
    namespace: str
    living: Callable[[], set[str]]
    limit: float = CONFIRM_LIMIT
    again: Callable[[Sequence[ResourceKey]], None] | None = None
    planned: set[tuple[ResourceKey, str]] = field(default_factory=set)
    watch: Watch = field(init=False)
    drains: Drains = field(init=False)
    _digests: dict[str, tuple[Dump, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.watch = Watch(self.fleet, self.istiod)
        self.drains = Drains(self.fleet, self.living)

    @property
    def last(self) -> dict[str, Dump]:
        """What the proxies held when they were last looked at."""
        return self.watch.dumps

    def before(self) -> Before:
        """What is there now."""
        known = dict(self.watch.looks)
        if self.istiod.there or not known:
            self.watch.renew(self.fleet.clients)
            self._note_newcomers(known)
        return Before(self.last, dict(self.watch.syncs), dict(self.watch.looks))

    def look(self) -> dict[str, str]:
        """The version of what each proxy holds now, all of it read; one that does not answer is missing."""
        known = dict(self.watch.looks)
        self.watch.everything()
        self._note_newcomers(known)
        return self.versions()

    def _note_newcomers(self, known: Mapping[str, Look]) -> None:
        self.drains.note({}, {name: look for name, look in self.watch.looks.items() if name not in known})

    def versions(self) -> dict[str, str]:
        """The versions of what was last seen."""
        return {name: self._digest(name, dump) for name, dump in self.last.items()}

    def _digest(self, name: str, dump: Dump) -> str:
        known = self._digests.get(name)
        if known is None or known[0] is not dump:
            known = self._digests[name] = (dump, dump.digest(self.namespace))
        return known[1]

    def wait(self, change: Change, before: Before) -> dict[str, str]:
        """Return once every proxy holds a change.

        Istiod sends changes only, and works out what a deleted DestinationRule had made from what it knew before the push. When
        deletions come one by one, that can be after the rule was gone already, and the proxies keep what it made until something
        else changes it (seen with 1.31 on a busy machine). So what is still there long after is deleted once more.

        Returns:
            The version of what each holds, by proxy.

        Raises:
            ConfigRejectedError: a proxy refused it.
            MeshError: some proxy does not show it within the limit; says which, and what is missing. Or no proxy holds a
                VirtualService or DestinationRule of it: all the same to proxies, and so nothing to be tried.
        """
        if not change.keys:
            return self.versions() if self.watch.looks else self.look()
        deadline = time.monotonic() + self.limit
        agreement = Agreement(self.fleet, self.istiod, change, before)
        patience = time.monotonic() + min(LOST_AFTER, self.limit / 2)
        concerned = set(self.fleet.clients)
        open_names, pause, overtaken = set(concerned), _FIRST_POLL, 0
        said: dict[str, Said] = {}
        while True:
            whole = overtaken > _PATCHWORK
            found = self.watch.renew(open_names, whole=whole)
            silent = (open_names & self.fleet.silent.keys()) - found
            concerned -= silent - self.living() if silent else set()
            reasons = {name: f"no answer ({self.fleet.silent[name]})" for name in silent & concerned}
            reasons |= self._lacking(open_names - silent, change, before, said)
            reasons = reasons or agreement.missing(self.last, concerned)
            if not reasons:
                newer = set() if whole else self.watch.overtaken(agreement.syncs, concerned)
                if not newer:
                    self._refuse_unheld(change)
                    self.drains.note(before.looks, self.watch.looks)
                    return self.versions()
                overtaken += 1
                open_names = set(concerned) if overtaken > _PATCHWORK else newer
                continue
            open_names = concerned & reasons.keys() or set(concerned)
            patience = self._not_forgotten(change, open_names, patience)
            if time.monotonic() > deadline:
                self._refuse_unheld(change)
                raise self._late(reasons)
            time.sleep(pause)
            pause = min(_LAST_POLL, pause * _SLOWER)

    def _lacking(self, names: set[str], change: Change, before: Before, said: dict[str, Said]) -> dict[str, str]:
        """By proxy, what it does not show yet; `said` keeps that for as long as no other look is taken.

        Raises:
            ConfigRejectedError: a proxy refused something.
        """
        for name, dump in self.last.items():
            if name not in names:
                continue
            if name not in said or said[name][0] is not dump:
                self._refuse_rejected(name, dump, before)
                said[name] = (dump, self._reason(name, dump, change))
        return {name: reason for name in names if (reason := said[name][1] if name in said else None)}

    def _not_forgotten(self, change: Change, names: Iterable[str], patience: float) -> float:
        """Have deletions made again of which proxies still show something when patience is over; returns when it will be next."""
        if self.again is None or time.monotonic() < patience:
            return patience
        last = self.last
        dumps = [last[name] for name in names if name in last]
        marked = [key for key in change.deleted if key.kind in MARKED]
        left = [key for key in marked if any(next(made_by(dump, key), None) is not None for dump in dumps)]
        if left:
            self.again(left)
        return time.monotonic() + LOST_AFTER

    def _reason(self, name: str, dump: Dump, change: Change) -> str | None:
        if dump.warming:
            return f"{', '.join(dump.warming[:_SHOWN])} not in use yet"
        return lacking(dump, self.fleet.clients[name].pod, change.state, change.put, change.deleted)

    def _refuse_rejected(self, name: str, dump: Dump, before: Before) -> None:
        earlier = before.dumps.get(name)
        for item, words in dump.errors.items():
            if earlier is None or earlier.errors.get(item) != words:
                raise ConfigRejectedError(f"{name}: Envoy refused {item}: {words}")

    def _refuse_unheld(self, change: Change) -> None:
        """Tell what a run is to try and nobody holds; with a Sidecar resource among it, that may be the very question.

        Raises:
            MeshError: there is such a thing.
        """
        if any(key.kind == SIDECAR for key, _ in self.planned):
            return
        pods = {name: client.pod for name, client in self.fleet.clients.items()}
        dumps = {name: dump for name, dump in self.last.items() if name in pods}
        for item in change.put:
            if (item.key, item.canonical()) in self.planned and unheld(item, dumps, pods):
                raise MeshError(
                    why_unheld(item, change.state.resources.values(), pods.values()),
                    advice="`istioctl proxy-config routes` and `clusters` show what a pod sees. What no proxy holds changes nothing",
                )

    def _late(self, reasons: Mapping[str, str]) -> MeshError:
        shown = [f"{name}: {reason}" for name, reason in sorted(reasons.items())[:_SHOWN]]
        more = len(reasons) - len(shown)
        return MeshError(
            f"the change did not arrive within {self.limit:.0f} s: {'; '.join(shown)}"
            + (f"; and {more} more" if more else ""),
            advice="`istioctl proxy-status` and istiod's log may say why",
        )
