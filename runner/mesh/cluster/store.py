"""The objects of a run's namespace: read, replaced whole, created and deleted, and never over a change that somebody else made.

Of the mesh's root namespace only the objects that were named are looked at (`Store.reach`): most of it is nobody's business here.

Every write names the resourceVersion that was last seen (Kubernetes' optimistic concurrency). The server answers with a conflict
when anything changed since; where only `status` or a controller's own annotation did, the write is tried again, else it is not
made, and the error says who changed what. Server-side apply would not do: it leaves other managers' fields in, so that a variant
would not mean the same as on the embedded mesh.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.errors import MeshError
from runner.mesh.base import ChangedError
from runner.mesh.cluster.errors import AwayError, CredentialError, StatusError
from runner.mesh.cluster.held import Held, foreign, held_of, told
from runner.mesh.cluster.objects import DEFAULTED, outgoing, resource_of
from runner.mesh.cluster.touched import CONFIG_KINDS, ROUTING, TOUCHED_KINDS, elsewhere, order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.kinds import Place, Places

_MANAGER = "meshtrial"
_TRIES = 5
_AT_ONCE = 8


@dataclass(slots=True)
class Store:
    """The objects of a namespace, of the kinds that a run may touch.

    Attributes:
        api: the server.
        places: where it keeps each kind.
        namespace: the run's.
        hidden: kinds that we may not list; they can't be touched then.
    """

    api: Api
    places: Places
    namespace: str
    hidden: set[str] = field(default_factory=set)
    _held: dict[ResourceKey, Held] = field(default_factory=dict)
    _touched: set[ResourceKey] = field(default_factory=set)
    _first: dict[ResourceKey, Resource] = field(default_factory=dict)
    _memo: set[ResourceKey] = field(default_factory=set)
    _reached: set[ResourceKey] = field(default_factory=set)

    @property
    def source(self) -> str:
        """How to name the cluster in messages."""
        return f"{self.api.context}/{self.namespace}"

    def reach(self, keys: Iterable[ResourceKey]) -> bool:
        """Look at these too from now on, as far as they are of the mesh's root namespace and of kinds that a run may change there.

        Returns:
            Whether any of them is.
        """
        new = {key for key in keys if elsewhere(key, self.namespace)}
        self._reached |= new
        return bool(new)

    def read(self) -> list[Resource]:
        """Everything that is there now, in a fixed order.

        Workloads and services that this store did not write are shown as they were first seen: an autoscaler that changes replicas
        while a run goes on changes nothing that the run must put back.

        Raises:
            MeshError: the server can't be asked.
        """
        places = [self.places.find(kind) for kind in TOUCHED_KINDS if kind not in self.hidden]
        with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="objects") as threads:
            lists = threads.map(self._list, [place for place in places if place is not None])
            others = threads.map(self._one, sorted(self._reached))
            seen = [*(held for several in lists for held in several), *(held for held in others if held)]
        self._held = {held.resource.key: held for held in seen}
        return [self._shown(key, self._held[key]) for key in sorted(self._held, key=order)]

    def _list(self, place: Place) -> list[Held]:
        try:
            items = self.api.get(place.path(self.namespace)).get("items") or []
        except StatusError as error:
            if place.kind in ROUTING or not error.forbidden:
                raise
            self.hidden.add(place.kind)
            return []
        return [self._seen(item, place) for item in items]

    def _one(self, key: ResourceKey) -> Held | None:
        place = self.places.find(key.kind)
        return self._now(key, place) if place is not None else None

    def _shown(self, key: ResourceKey, held: Held) -> Resource:
        if key.kind in CONFIG_KINDS or key in self._touched:
            return held.resource
        return self._first.setdefault(key, held.resource)

    def known(self) -> dict[ResourceKey, Held]:
        """Everything as it was last seen or written."""
        return dict(self._held)

    def _seen(self, item: dict[str, Any], place: Place) -> Held:
        return held_of(item, place, self.source)

    def try_out(self, resources: Iterable[Resource]) -> list[tuple[Resource, StatusError]]:
        """Have the server try writes without keeping them (`dryRun=All`: schema, validation, admission webhooks).

        Returns:
            Those that it refuses, with its words.

        Raises:
            MeshError: it can't be asked, or we lack a permission.
        """
        refused = []
        for resource in resources:
            place = self.places.need(resource.key.kind)
            try:
                answer = self._write(resource, place, self._held.get(resource.key), dry=True)
            except StatusError as error:
                if error.conflict:
                    continue
                if not error.refused:
                    raise
                refused.append((resource, error))
                continue
            self._note_memo(resource, answer, place)
        return refused

    def change(self, put: Sequence[Resource], delete: Sequence[ResourceKey]) -> list[Held]:
        """Put and delete; all or nothing.

        Returns:
            What was written, as the server holds it now.

        Raises:
            ConfigRejectedError: the server or a webhook refused; everything was put back.
            MeshError: the same for any other reason, or it could not be put back: the error says which.
        """
        before = {key: self._held.get(key) for key in [*(item.key for item in put), *delete]}
        done: list[ResourceKey] = []
        written: list[Held] = []
        try:
            for resource in sorted(put, key=lambda item: order(item.key)):
                done.append(resource.key)
                written.append(self._put(resource))
            for key in sorted(delete, key=order, reverse=True):
                done.append(key)
                self._delete(key)
        except MeshError as error:
            places = {item.key: item.position() for item in put}
            refusal = told(error, done[-1], places.get(done[-1]))
            refusal.restored = self._back(before, done)
            raise refusal from None
        return written

    def give_back(self, put: Sequence[Resource], delete: Sequence[ResourceKey]) -> tuple[list[Held], MeshError | None]:
        """Put and delete, each for itself: what can't be written keeps nothing else back.

        Returns:
            What was written, as the server holds it now, and what is to be said of the rest: which could not be written, and why.

        Raises:
            AwayError: the server does not answer; says where it stopped.
        """
        written: list[Held] = []
        failed: dict[ResourceKey, MeshError] = {}
        for resource in sorted(put, key=lambda item: order(item.key)):
            with self._for_itself(resource.key, failed):
                written.append(self._put(resource))
        for key in sorted(delete, key=order, reverse=True):
            with self._for_itself(key, failed):
                self._delete(key)
        return written, _failure(failed, len(put) + len(delete))

    @contextlib.contextmanager
    def _for_itself(self, key: ResourceKey, failed: dict[ResourceKey, MeshError]) -> Iterator[None]:
        """One write of several.

        Raises:
            AwayError: the server does not answer, which would be waited for with each of them.
            CredentialError: nor will it accept the next one.
        """
        try:
            yield
        except (AwayError, CredentialError) as error:
            error.restored = f"{key} was not put back, and nothing after it"
            raise
        except MeshError as error:
            failed[key] = told(error, key, None)

    def _back(self, before: dict[ResourceKey, Held | None], done: Sequence[ResourceKey]) -> str:
        failed = []
        for key in reversed(done):
            earlier = before[key]
            try:
                if earlier is not None:
                    self._put(earlier.resource)
                elif key in self._held:
                    self._delete(key)
            except MeshError:
                failed.append(str(key))
        if failed:
            return f"Not put back: {', '.join(failed)}; run `meshtrial recover`"
        return "Everything was put back" if len(done) > 1 else "Nothing was changed"

    def _put(self, resource: Resource) -> Held:
        key, place = resource.key, self.places.need(resource.key.kind)
        self._touched.add(key)
        away: AwayError | None = None
        for _ in range(_TRIES):
            held = self._held.get(key)
            if held is not None and held.resource.canonical() == resource.canonical():
                return held
            try:
                answer = self._write(resource, place, held)
            except AwayError as error:
                if away is not None:
                    raise
                away = error
                self._look_again(key, place, held, resource)
                continue
            except StatusError as error:
                if not (error.conflict or (error.not_found and held is not None)):
                    raise
                self._look_again(key, place, held, resource)
                continue
            self._held[key] = self._seen(answer, place)
            if self._note_memo(resource, answer, place):
                continue
            return self._held[key]
        raise MeshError(f"{key} could not be written: it changes all the time", advice="See which controller owns it")

    def _write(self, resource: Resource, place: Place, held: Held | None, *, dry: bool = False) -> dict[str, Any]:
        """Create or replace; with a memo of what is written where the server would show something else."""
        key = resource.key
        if not dry and (key.kind in DEFAULTED or key in self._memo):
            plain = resource_of(self._send(resource, place, held, memo=False, dry=True), place, self.source)
            return self._send(resource, place, held, memo=plain.canonical() != resource.canonical(), dry=False)
        return self._send(resource, place, held, memo=False, dry=dry)

    def _send(self, resource: Resource, place: Place, held: Held | None, *, memo: bool, dry: bool) -> dict[str, Any]:
        body = outgoing(resource, memo=memo)
        target = place.in_version(str(body.get("apiVersion")))
        query = {"fieldManager": _MANAGER, "fieldValidation": "Strict", **({"dryRun": "All"} if dry else {})}
        if held is None:
            return dict(self.api.call("POST", target.path(resource.key.namespace), query, body))
        body["metadata"]["resourceVersion"] = held.version
        return dict(self.api.call("PUT", target.path(resource.key.namespace, resource.key.name), query, body))

    def _note_memo(self, resource: Resource, answer: dict[str, Any], place: Place) -> bool:
        """Whether the server shows something else than was written, and that is news."""
        if resource.key in self._memo or resource.key.kind in DEFAULTED:
            return False
        if resource_of(answer, place, self.source).canonical() == resource.canonical():
            return False
        self._memo.add(resource.key)
        return True

    def _look_again(self, key: ResourceKey, place: Place, held: Held | None, wanted: Resource) -> None:
        """Read an object whose write did not go through as expected.

        Raises:
            MeshError: somebody else changed it.
        """
        now = self._now(key, place)
        if now is not None and now.resource.canonical() == wanted.canonical():
            self._held[key] = now
            return
        if (now is None) != (held is None) or (
            now is not None and held is not None and now.resource.canonical() != held.resource.canonical()
        ):
            raise foreign(key, now)
        if now is not None:
            self._held[key] = now

    def _now(self, key: ResourceKey, place: Place) -> Held | None:
        try:
            return self._seen(self.api.get(place.path(key.namespace, key.name)), place)
        except StatusError as error:
            if error.not_found:
                return None
            raise

    def _delete(self, key: ResourceKey) -> None:
        place = self.places.need(key.kind)
        self._touched.add(key)
        for _ in range(_TRIES):
            held = self._held.get(key)
            if held is None:
                return
            options = {
                "kind": "DeleteOptions",
                "apiVersion": "v1",
                "propagationPolicy": "Background",
                "preconditions": {"uid": held.uid, "resourceVersion": held.version},
            }
            try:
                self.api.call("DELETE", place.path(key.namespace, key.name), None, options)
            except (AwayError, StatusError) as error:
                if isinstance(error, StatusError) and not (error.conflict or error.not_found):
                    raise
                now = self._now(key, place)
                if now is not None and now.resource.canonical() != held.resource.canonical():
                    raise foreign(key, now) from None
                if now is not None:
                    self._held[key] = now
                    continue
            self._held.pop(key, None)
            return
        raise MeshError(f"{key} could not be deleted: it changes all the time", advice="See which controller owns it")

    def touched(self) -> set[ResourceKey]:
        """What this store wrote or deleted, or tried to."""
        return set(self._touched)


def _failure(failed: dict[ResourceKey, MeshError], number: int) -> MeshError | None:
    """What is said when some of `number` objects could not be given back."""
    if not failed:
        return None
    errors = list(dict.fromkeys(failed.values()))
    changed = all(isinstance(error, ChangedError) for error in errors)
    what = "; ".join(str(error.what) for error in errors)
    rest = "everything else was" if len(failed) < number else "nothing was"
    return (ChangedError if changed else MeshError)(
        what,
        restored=f"Not put back: {', '.join(map(str, failed))}; {rest}",
        advice=errors[-1].advice,
    )
