"""When has a change arrived? When the proxies themselves show it, and istiod, where it can be asked, agrees.

For every proxy concerned:

1. its `config_dump` holds what the changed resources say (`runner.mesh.cluster.expect`), and nothing of the deleted ones;
2. where istiod answers: it has read the very versions that were written, and the proxy has acknowledged all that it was sent;
3. the part of its config in which a resource shows that was written is another than before: 1 does not look at everything (a header
   match, say), and proxies get a push one by one. A change that makes no difference to a proxy is told from one that has not arrived
   by istiod alone (`runner.mesh.cluster.agreement`).

It is polled, with an end: no sleep stands for it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.errors import ConfigRejectedError, MeshError
from runner.mesh.cluster.agreement import Agreement, syncs_of
from runner.mesh.cluster.dump import parse_dump
from runner.mesh.cluster.expect import lacking
from runner.mesh.cluster.traces import MARKED, UNNAMED, made_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.cluster.admin import Fleet, ProxyAdmin
    from runner.mesh.cluster.dump import Dump
    from runner.mesh.cluster.expect import State
    from runner.mesh.cluster.istiod import Istiod, Sync

CONFIRM_LIMIT = 60.0
"""The longest wait, in seconds, for all proxies to hold a change: a bound for failure, never a delay."""

LOST_AFTER = 15.0
"""Seconds after which istiod will not push a deletion any more that it has not pushed (longer than it may hold a push back)."""

_FIRST_POLL, _LAST_POLL = 0.05, 0.5
_SHOWN = 3


def read_dump(client: ProxyAdmin) -> Dump:
    """What a proxy holds now, in one answer: parts that are asked for one by one may be of different moments.

    Raises:
        MeshError: it does not answer.
    """
    try:
        return parse_dump(client.get("/config_dump"))
    except ValueError as error:
        raise MeshError(f"{client.pod.name}: its config_dump can't be read: {error}") from None


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
    """

    dumps: dict[str, Dump] = field(default_factory=dict)
    syncs: dict[str, Sync] = field(default_factory=dict)


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
    """

    fleet: Fleet
    istiod: Istiod
    namespace: str
    living: Callable[[], set[str]]
    limit: float = CONFIRM_LIMIT
    again: Callable[[Sequence[ResourceKey]], None] | None = None
    last: dict[str, Dump] = field(default_factory=dict)
    """What the proxies held when they were last looked at."""

    def before(self) -> Before:
        """What is there now."""
        if not self.last:
            self.last = self.fleet.each(read_dump)
        try:
            return Before(dict(self.last), syncs_of(self.istiod, self.fleet))
        except (MeshError, ValueError):
            return Before(dict(self.last))

    def look(self) -> dict[str, str]:
        """The version of what each proxy holds now; one that does not answer is missing."""
        self.last = self.fleet.each(read_dump)
        return self.versions()

    def versions(self) -> dict[str, str]:
        """The versions of what was last seen."""
        return {name: dump.digest(self.namespace) for name, dump in self.last.items()}

    def wait(self, change: Change, before: Before) -> dict[str, str]:
        """Return once every proxy holds a change.

        Istiod sends changes only, and works out what a deleted DestinationRule had made from what it knew before the push. When
        deletions come one by one, that can be after the rule was gone already, and the proxies keep what it made until something
        else changes it (seen with 1.31 on a busy machine). So what is still there long after is deleted once more.

        Returns:
            The version of what each holds, by proxy.

        Raises:
            ConfigRejectedError: a proxy refused it.
            MeshError: some proxy does not show it within the limit; says which, and what is missing.
        """
        if not change.keys:
            return self.versions() if self.last else self.look()
        deadline = time.monotonic() + self.limit
        agreement = Agreement(self.fleet, self.istiod, change, before)
        patience = time.monotonic() + min(LOST_AFTER, self.limit / 2)
        concerned = set(self.fleet.clients)
        open_names, pause = set(concerned), _FIRST_POLL
        reasons: dict[str, str] = {}
        while True:
            dumps = self.fleet.each(read_dump, sorted(open_names))
            self.last.update(dumps)
            silent = open_names - dumps.keys()
            if silent:
                concerned -= silent - self.living()
            reasons = {name: f"no answer ({self.fleet.silent.get(name, '')})" for name in silent & concerned}
            for name, dump in dumps.items():
                self._refuse_rejected(name, dump, before)
                reason = self._reason(name, dump, change)
                if reason:
                    reasons[name] = reason
            if not reasons:
                reasons = agreement.missing(self.last, concerned)
                if not reasons:
                    if any(item.key.kind in UNNAMED for item in change.traced):
                        self.last.update(self.fleet.each(read_dump, sorted(concerned)))  # what istiod alone told of
                    return self.versions()
            open_names = concerned & reasons.keys() or set(concerned)
            patience = self._not_forgotten(change, open_names, patience)
            if time.monotonic() > deadline:
                raise self._late(reasons)
            time.sleep(pause)
            pause = min(_LAST_POLL, pause * 1.5)

    def _not_forgotten(self, change: Change, names: Iterable[str], patience: float) -> float:
        """Have deletions made again of which proxies still show something when patience is over; returns when it will be next."""
        if self.again is None or time.monotonic() < patience:
            return patience
        dumps = [self.last[name] for name in names if name in self.last]
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

    def _late(self, reasons: Mapping[str, str]) -> MeshError:
        shown = [f"{name}: {reason}" for name, reason in sorted(reasons.items())[:_SHOWN]]
        more = len(reasons) - len(shown)
        return MeshError(
            f"the change did not arrive within {self.limit:.0f} s: {'; '.join(shown)}"
            + (f"; and {more} more" if more else ""),
            advice="`istioctl proxy-status` and istiod's log may say why",
        )
