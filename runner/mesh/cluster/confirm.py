"""When has a change arrived? When the proxies themselves show it, and istiod, where it can be asked, agrees.

For every proxy concerned:

1. its `config_dump` holds what the changed resources say (`runner.mesh.cluster.expect`), and nothing of the deleted ones;
2. where istiod answers: it has read the very versions that were written, and the proxy has acknowledged all that it was sent;
3. the part of its config that came from a resource that was written is another than before: 1 does not look at everything (a header
   match, say), and proxies get a push one by one. A change that makes no difference to proxies is told from one that has not arrived
   by istiod alone: a younger push was acknowledged, and the longest time that istiod holds a push back is over.

It is polled, with an end: no sleep stands for it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.errors import ConfigRejectedError, MeshError
from runner.mesh.cluster.dump import parse_dump
from runner.mesh.cluster.expect import lacking, slice_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.cluster.admin import Fleet, ProxyAdmin
    from runner.mesh.cluster.dump import Dump
    from runner.mesh.cluster.expect import State
    from runner.mesh.cluster.istiod import Istiod, Sync

CONFIRM_LIMIT = 60.0
"""The longest wait, in seconds, for all proxies to hold a change: a bound for failure, never a delay."""

DEBOUNCE_MAX = 11.0
"""Seconds within which istiod has pushed whatever it has read (its PILOT_DEBOUNCE_MAX is 10 s): only after that is a change that no
proxy shows one that makes no difference to proxies."""

_FIRST_POLL, _LAST_POLL = 0.05, 0.5
_SHOWN = 3
_CONFIG = frozenset({"VirtualService", "DestinationRule", "Gateway"})
_TRACED = {"VirtualService": "rds", "DestinationRule": "cds"}
"""Kinds that proxies name as the source of their config, and the xDS type in which it comes."""


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
    """

    state: State
    put: Sequence[Resource]
    deleted: Sequence[ResourceKey]
    versions: Mapping[ResourceKey, str] = field(default_factory=dict)

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
    """

    fleet: Fleet
    istiod: Istiod
    namespace: str
    living: Callable[[], set[str]]
    limit: float = CONFIRM_LIMIT
    last: dict[str, Dump] = field(default_factory=dict)
    """What the proxies held when they were last looked at."""
    _read_at: float | None = None

    def before(self) -> Before:
        """What is there now."""
        if not self.last:
            self.last = self.fleet.each(read_dump)
        try:
            return Before(dict(self.last), self._syncs())
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

        Returns:
            The version of what each holds, by proxy.

        Raises:
            ConfigRejectedError: a proxy refused it.
            MeshError: some proxy does not show it within the limit; says which, and what is missing.
        """
        if not change.keys:
            return self.versions() if self.last else self.look()
        deadline = time.monotonic() + self.limit
        self._read_at = None
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
                reasons = self._not_agreed(change, before, concerned)
                if not reasons:
                    return self.versions()
            open_names = concerned & reasons.keys() or set(concerned)
            if time.monotonic() > deadline:
                raise self._late(reasons)
            time.sleep(pause)
            pause = min(_LAST_POLL, pause * 1.5)

    def _reason(self, name: str, dump: Dump, change: Change) -> str | None:
        if dump.warming:
            return f"{', '.join(dump.warming[:_SHOWN])} not in use yet"
        return lacking(dump, self.fleet.clients[name].pod, change.state, change.put, change.deleted)

    def _refuse_rejected(self, name: str, dump: Dump, before: Before) -> None:
        earlier = before.dumps.get(name)
        for item, words in dump.errors.items():
            if earlier is None or earlier.errors.get(item) != words:
                raise ConfigRejectedError(f"{name}: Envoy refused {item}: {words}")

    def _not_agreed(self, change: Change, before: Before, concerned: set[str]) -> dict[str, str]:
        """What keeps the change from being proven although all proxies look right."""
        traceless = {name: self._traceless(name, change, before) for name in concerned}
        if not self.istiod.there:
            return {
                name: f"{', '.join(map(str, keys))} changed, and this proxy's config did not ({self.istiod.why_not})"
                for name, keys in traceless.items()
                if keys
            }
        try:
            unread = self._unread(change)
            syncs = self._syncs()
        except (MeshError, ValueError) as error:
            return {"istiod": str(error)}
        if unread:
            return {"istiod": unread}
        self._read_at = self._read_at or time.monotonic()
        reasons = {name: self._unsynced(name, before, syncs, traceless[name]) for name in concerned}
        return {name: reason for name, reason in reasons.items() if reason}

    def _traceless(self, name: str, change: Change, before: Before) -> list[ResourceKey]:
        """The resources that were written and left this proxy's config as it was, although it has, or should have, part in them."""
        pod, now, earlier = self.fleet.clients[name].pod, self.last.get(name), before.dumps.get(name)
        if now is None or earlier is None:
            return []
        found = []
        for item in change.put:
            if item.key.kind not in _TRACED:
                continue
            slices = slice_of(earlier, item.key), slice_of(now, item.key)
            elsewhere = any(slice_of(dump, item.key) for dump in self.last.values())
            if slices[0] == slices[1] and (slices[1] or (not elsewhere and change.state.concerns(item, pod))):
                found.append(item.key)
        return found

    def _unread(self, change: Change) -> str | None:
        """What istiod has not read yet."""
        for seen in self.istiod.versions(change.keys):
            for key, version in change.versions.items():
                if key.kind in _CONFIG and seen.get(key) != version:
                    return f"has not read {key} yet"
            still = [str(key) for key in change.deleted if key in seen]
            if still:
                return f"still has {still[0]}"
        return None

    def _unsynced(
        self, name: str, before: Before, syncs: Mapping[str, Sync], traceless: Sequence[ResourceKey]
    ) -> str | None:
        """Why istiod does not take a proxy to be up to date.

        Raises:
            ConfigRejectedError: the proxy refused what it was sent.
        """
        pod = self.fleet.clients[name].pod
        sync, earlier = syncs.get(pod.proxy_id), before.syncs.get(pod.proxy_id)
        if sync is None:
            return "is not connected to any istiod that can be asked"
        if sync.rejected and (earlier is None or sync.rejected != earlier.rejected):
            raise ConfigRejectedError(f"{name}: Envoy refused the config: {sync.rejected}")
        if not sync.settled:
            return "has not acknowledged what it was sent"
        waited = time.monotonic() - (self._read_at or time.monotonic())
        for key in traceless:
            kind = _TRACED[key.kind]
            if earlier is not None and sync.acked[kind] <= earlier.acked[kind]:
                return f"has acknowledged no push since {key} changed"
            if waited < DEBOUNCE_MAX:
                return f"shows no trace of {key}, and may not have had the push with it"
        return None

    def _syncs(self) -> dict[str, Sync]:
        if not self.istiod.there:
            return {}
        namespaces = {client.pod.namespace for client in self.fleet.clients.values()}
        found: dict[str, Sync] = {}
        for namespace in sorted(namespaces):
            found.update(self.istiod.syncs(namespace))
        return found

    def _late(self, reasons: Mapping[str, str]) -> MeshError:
        shown = [f"{name}: {reason}" for name, reason in sorted(reasons.items())[:_SHOWN]]
        more = len(reasons) - len(shown)
        return MeshError(
            f"the change did not arrive within {self.limit:.0f} s: {'; '.join(shown)}"
            + (f"; and {more} more" if more else ""),
            advice="`istioctl proxy-status` and istiod's log may say why",
        )
