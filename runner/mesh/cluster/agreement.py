"""What keeps a change from being proven although all proxies look right: what istiod has not read, sent, or seen acknowledged.

A proxy that shows a change in its own config (`runner.mesh.cluster.traces`) has it. One that should and does not is either still to
get it, or the change makes no difference to it. Istiod numbers its pushes, and each is made from all that it has read by then: a
proxy that has acknowledged a push as young as those by which others show the change has it too. Where none shows it, a younger push
than before must be acknowledged, and the longest time be over for which istiod holds a push back. Whether such a change makes no
difference or is hidden is not told here but by `runner.mesh.cluster.visible`.

One gap is left, for kinds that leave no mark of their own (EnvoyFilter, Telemetry, Sidecar): somebody else's change of a proxy's
config that arrives in the moment between our write and its push looks like ours. Ours then arrives while the load warms up; should it
be later, the attestation of the window tells, and the trial is invalid.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.errors import ConfigRejectedError, MeshError
from runner.istio.peer_authentication import ROOT_NAMESPACE
from runner.mesh.cluster.touched import CONFIG_KINDS
from runner.mesh.cluster.traces import MARKED, PATHS, slice_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.cluster.admin import Fleet
    from runner.mesh.cluster.confirm import Before, Change
    from runner.mesh.cluster.dump import Dump
    from runner.mesh.cluster.istiod import Istiod, Sync
    from runner.mesh.cluster.pods import Pod

DEBOUNCE_MAX = 11.0
"""Seconds within which istiod has pushed whatever it has read (its PILOT_DEBOUNCE_MAX is 10 s): only after that is a change that no
proxy shows one that makes no difference to proxies, or one that is hidden from all of them."""

_LAST = {
    "VirtualService": "rds",
    "DestinationRule": "cds",
    "ServiceEntry": "rds",
    "WorkloadEntry": "eds",
    "Sidecar": "rds",
    "EnvoyFilter": "rds",
    "PeerAuthentication": "lds",
    "RequestAuthentication": "lds",
    "AuthorizationPolicy": "lds",
    "Telemetry": "lds",
    "WasmPlugin": "lds",
}
"""By kind, what istiod sends last of all that a change of it touches (the order of a push: cds, eds, lds, rds)."""


@dataclass(slots=True)
class Agreement:
    """Whether istiod agrees that one change has arrived everywhere.

    Attributes:
        fleet: the proxies.
        istiod: asked where it answers.
        change: what was written.
        before: what was there before.
    """

    fleet: Fleet
    istiod: Istiod
    change: Change
    before: Before
    syncs: dict[str, Sync] = field(default_factory=dict)
    """How far the proxies were when istiod was last asked."""
    _read_at: float | None = None
    _nowhere: set[ResourceKey] = field(default_factory=set)
    _slices: dict[tuple[ResourceKey, str, bool], tuple[Dump, str]] = field(default_factory=dict)

    def missing(self, now: Mapping[str, Dump], concerned: Iterable[str]) -> dict[str, str]:
        """What keeps the change from being proven, by proxy (or `istiod`); empty when it is.

        Args:
            now: what each proxy holds.
            concerned: the proxies that count.

        Raises:
            ConfigRejectedError: a proxy refused what it was sent.
        """
        names = list(concerned)
        traceless, changed = self._traces(now, names)
        if not self.istiod.there:
            return {
                name: f"{', '.join(str(item.key) for item in items)} changed, and this proxy's config did not ({self.istiod.why_not})"
                for name, items in traceless.items()
                if items
            }
        try:
            unread = self._unread()
            syncs = self.syncs = syncs_of(self.istiod, self.fleet)
        except (MeshError, ValueError) as error:
            return {"istiod": str(error)}
        if unread:
            return {"istiod": unread}
        self._read_at = self._read_at or time.monotonic()
        shown = self._shown_by(changed, syncs)
        reasons = {
            name: self._unsynced(name, syncs)
            or self._half_sent(name, syncs, [item for item in self.change.traced if name in changed.get(item.key, ())])
            or self._unshown(name, syncs, traceless[name], shown)
            for name in names
        }
        return {name: reason for name, reason in reasons.items() if reason}

    def _traces(
        self, now: Mapping[str, Dump], names: Sequence[str]
    ) -> tuple[dict[str, list[Resource]], dict[ResourceKey, list[str]]]:
        """Where changes show.

        Returns:
            By proxy, the changed resources that left its config as it was, although it has, or should have, part in them; and by
            resource, the proxies whose config changed with it.
        """
        traceless: dict[str, list[Resource]] = {name: [] for name in names}
        changed: dict[ResourceKey, list[str]] = {}
        for item in self.change.traced:
            after = {name: self._slice(item, name, dump, late=True) for name, dump in now.items()}
            elsewhere = any(after.values())
            if not elsewhere:
                self._nowhere.add(item.key)
            else:
                self._nowhere.discard(item.key)
            for name in names:
                earlier = self.before.dumps.get(name)
                if earlier is None or name not in now:
                    continue
                if self._slice(item, name, earlier, late=False) != after[name]:
                    changed.setdefault(item.key, []).append(name)
                    continue
                concerned = self.change.state.concerns(item, self.fleet.clients[name].pod)
                has_part = bool(after[name]) and item.key.kind in MARKED
                if has_part or (concerned and (after[name] or not elsewhere)):
                    traceless[name].append(item)
        return traceless, changed

    def _slice(self, item: Resource, name: str, dump: Dump, *, late: bool) -> str:
        place = (item.key, name, late)
        known = self._slices.get(place)
        if known is None or known[0] is not dump:
            known = self._slices[place] = (dump, slice_of(dump, item))
        return known[1]

    def _unread(self) -> str | None:
        """What istiod has not read yet."""
        for seen in self.istiod.versions(self.change.keys):
            for key, version in self.change.versions.items():
                if key.kind in CONFIG_KINDS and not _as_new(seen.get(key, ""), version):
                    return f"has not read {key} yet"
            still = [str(key) for key in self.change.deleted if key in seen]
            if still:
                return f"still has {still[0]}"
        return None

    def _shown_by(
        self, changed: Mapping[ResourceKey, Sequence[str]], syncs: Mapping[str, Sync]
    ) -> dict[ResourceKey, int]:
        """By changed resource, a push that was made after istiod had read it; none with several istiods, each of which counts for itself.

        The push that brought a change to a proxy is at most the last one that this proxy acknowledged.
        """
        if len(self.istiod.pods) != 1:
            return {}
        found: dict[ResourceKey, int] = {}
        for key, names in changed.items():
            pods = [self.fleet.clients[name].pod.proxy_id for name in names]
            pushes = [syncs[pod].last_acked for pod in pods if pod in syncs]
            if pushes:
                found[key] = min(pushes)
        return found

    def _unsynced(self, name: str, syncs: Mapping[str, Sync]) -> str | None:
        """Why istiod does not take a proxy to be up to date.

        Raises:
            ConfigRejectedError: the proxy refused what it was sent.
        """
        pod = self.fleet.clients[name].pod
        sync, earlier = syncs.get(pod.proxy_id), self.before.syncs.get(pod.proxy_id)
        if sync is None:
            return "is not connected to any istiod that can be asked"
        if sync.rejected and (earlier is None or sync.rejected != earlier.rejected):
            raise ConfigRejectedError(f"{name}: Envoy refused the config: {sync.rejected}")
        return None if sync.settled else "has not acknowledged what it was sent"

    def _half_sent(self, name: str, syncs: Mapping[str, Sync], shown: Sequence[Resource]) -> str | None:
        """Which change a proxy shows in a part that is sent first, while what is sent last may still be on the way."""
        pod = self.fleet.clients[name].pod
        sync, earlier = syncs[pod.proxy_id], self.before.syncs.get(pod.proxy_id)
        for item in shown:
            last = _last(item.key, pod)
            if earlier is None or not sync.acked[last] or sync.acked[last] > earlier.acked[last]:
                continue
            if not self._long_read():
                return f"has not been sent all that {item.key} changes"
        return None

    def _unshown(
        self, name: str, syncs: Mapping[str, Sync], traceless: Sequence[Resource], shown: Mapping[ResourceKey, int]
    ) -> str | None:
        """Which change a proxy does not show that may still be on the way."""
        pod = self.fleet.clients[name].pod
        sync, earlier = syncs[pod.proxy_id], self.before.syncs.get(pod.proxy_id)
        for item in traceless:
            if item.key in shown and sync.acked[_last(item.key, pod)] >= shown[item.key]:
                continue
            if earlier is not None and sync.last_acked <= earlier.last_acked and not self._is_nobodys(item):
                return f"has acknowledged no push since {item.key} changed"
            if not self._long_read():
                return f"shows no trace of {item.key}, and may not have had the push with it"
        return None

    def _is_nobodys(self, item: Resource) -> bool:
        """Whether a resource that must show somewhere shows nowhere: istiod pushes none that no proxy may see."""
        return item.key in self._nowhere and item.key.kind in PATHS

    def _long_read(self) -> bool:
        """Whether istiod read the change so long ago that it has sent all of it."""
        return self._read_at is not None and time.monotonic() - self._read_at >= DEBOUNCE_MAX


def _last(key: ResourceKey, pod: Pod) -> str:
    """As `_LAST`; of another namespace's PeerAuthentication, callers need the clusters alone."""
    if key.kind == "PeerAuthentication" and key.namespace not in {pod.namespace, ROOT_NAMESPACE}:
        return "cds"
    return _LAST[key.kind]


def _as_new(seen: str, written: str) -> bool:
    """Whether a resourceVersion is that of a write or of a later one (of `status`, say); the API server counts upwards."""
    return seen == written or (seen.isdigit() and written.isdigit() and int(seen) >= int(written))


def syncs_of(istiod: Istiod, fleet: Fleet) -> dict[str, Sync]:
    """How far the proxies of a fleet are, by `POD.NAMESPACE`; none where istiod can't be asked.

    Raises:
        MeshError: an istiod does not answer.
        ValueError: it answers something else.
    """
    if not istiod.there:
        return {}
    found: dict[str, Sync] = {}
    for namespace in sorted({client.pod.namespace for client in fleet.clients.values()}):
        found.update(istiod.syncs(namespace))
    return found


def youngest_push(istiod: Istiod, fleet: Fleet) -> int:
    """The number of the youngest push that any proxy of a fleet acknowledged; 0 where istiod can't be asked."""
    try:
        return max((sync.last_acked for sync in syncs_of(istiod, fleet).values()), default=0)
    except (MeshError, ValueError):
        return 0
