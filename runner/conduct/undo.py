"""What puts a mesh back after a run wrote into it, and what of it is somebody else's by now: the one judge of a restore and of `recover`.

An object is the run's for as long as it says what the run wrote, metadata aside: a label that a colleague adds to it does not make a
fault theirs. What says something else was changed by somebody, and is left alone; so is what somebody deleted.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.istio.resource import Resource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.istio.resource import ResourceKey

    Written = dict[ResourceKey, set[str | None]]
    """By key, the bodies (canonical text) that a run may have left there; None stands for "deleted"."""

_OUTSIDE = ("apiVersion", "kind", "metadata", "status")
_MAPS = ("labels", "annotations")


@dataclass(frozen=True, slots=True)
class Undo:
    """What has to be done to put a mesh back, and what is left alone.

    Attributes:
        put: resources to put back as they were; those in `merged` with the metadata that somebody changed meanwhile.
        delete: keys that were not there before.
        foreign: keys whose objects somebody changed; they are left as they are, and may still say what the run wrote.
        missing: keys of objects that were there before and that somebody deleted; they are left deleted.
        as_before: keys that are as they were before, or say the same: not written yet, or somebody put them back.
        merged: of `put`, those whose labels, annotations or other metadata somebody changed.
        lost: of `delete`, those on which somebody changed metadata, which goes with them.
    """

    put: list[Resource] = field(default_factory=list)
    delete: list[ResourceKey] = field(default_factory=list)
    foreign: list[ResourceKey] = field(default_factory=list)
    missing: list[ResourceKey] = field(default_factory=list)
    as_before: list[ResourceKey] = field(default_factory=list)
    merged: list[ResourceKey] = field(default_factory=list)
    lost: list[ResourceKey] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.put or self.delete)

    def target(self, before: Sequence[Resource], now: Sequence[Resource]) -> list[Resource]:
        """The whole state that is to be held then, in the order of before.

        Args:
            before: the whole state of before the run.
            now: what the mesh held when this was judged.
        """
        present = {item.key: item for item in now}
        instead = {item.key: item for item in self.put}
        left = {*self.foreign, *self.as_before}
        kept = []
        for item in before:
            if item.key in left and item.key in present:
                kept.append(present[item.key])
            elif item.key not in self.missing:
                kept.append(instead.get(item.key, item))
        known = {item.key for item in before}
        return [*kept, *(present[key] for key in self.foreign if key in present and key not in known)]


def note(written: Written, put: Iterable[Resource], delete: Iterable[ResourceKey]) -> None:
    """Add a change to what a run may have left."""
    for resource in put:
        written.setdefault(resource.key, set()).add(resource.canonical())
    for key in delete:
        written.setdefault(key, set()).add(None)


def judge(before: Mapping[ResourceKey, Resource], written: Written, now: Iterable[Resource]) -> Undo:
    """What puts a mesh back to what it held before; only keys that were written are touched.

    Args:
        before: what the mesh held before the run.
        written: what the run may have left.
        now: what the mesh holds now.
    """
    present = {resource.key: resource for resource in now}
    work = Undo()
    for key, left in written.items():
        _judge_one(work, key, before.get(key), present.get(key), left)
    return work


def _judge_one(
    work: Undo, key: ResourceKey, earlier: Resource | None, current: Resource | None, left: set[str | None]
) -> None:
    text = current.canonical() if current else None
    if text == (earlier.canonical() if earlier else None):
        if text not in left:
            work.as_before.append(key)
    elif text in left:
        _undo(work, key, earlier)
    elif current is None:
        work.missing.append(key)
    elif (ours := _said(current, left)) is not None:
        if earlier is None:
            work.lost.append(key)
        else:
            work.merged.append(key)
            earlier = _with_their_metadata(earlier, ours, current)
        _undo(work, key, earlier)
    elif earlier is not None and _says(current.body) == _says(earlier.body):
        work.as_before.append(key)
    else:
        work.foreign.append(key)


def _undo(work: Undo, key: ResourceKey, earlier: Resource | None) -> None:
    if earlier is None:
        work.delete.append(key)
    else:
        work.put.append(earlier)


def _says(body: Mapping[str, Any]) -> dict[str, Any]:
    """What an object does to a mesh: all of it but its metadata."""
    return {name: value for name, value in body.items() if name not in _OUTSIDE}


def _said(current: Resource, left: set[str | None]) -> dict[str, Any] | None:
    """What the run wrote, when the object still says that, metadata aside."""
    for text in left:
        body: dict[str, Any] | None = None if text is None else json.loads(text)
        if body is not None and _says(body) == _says(current.body):
            return body
    return None


def _with_their_metadata(earlier: Resource, ours: Mapping[str, Any], current: Resource) -> Resource:
    """A resource of before the run, with what somebody changed of its metadata while the run had it."""
    body = copy.deepcopy(earlier.body)
    metadata = body.setdefault("metadata", {})
    was, now = ours.get("metadata") or {}, current.body.get("metadata") or {}
    for name in sorted(was.keys() | now.keys()):
        if name in _MAPS:
            _move(metadata.setdefault(name, {}), was.get(name) or {}, now.get(name) or {})
            if not metadata[name]:
                del metadata[name]
        elif name not in {"name", "namespace"}:
            _move(metadata, {name: was[name]} if name in was else {}, {name: now[name]} if name in now else {})
    return Resource(earlier.key, body, earlier.document)


def _move(mapping: dict[str, Any], was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Change a mapping as somebody changed `was` to `now`."""
    for name in was.keys() | now.keys():
        if was.get(name) == now.get(name):
            continue
        if name in now:
            mapping[name] = now[name]
        else:
            mapping.pop(name, None)
