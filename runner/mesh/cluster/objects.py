"""Objects of the API server as resources, and back: what the server sets is left out, everything else is kept to the byte.

Kubernetes' own kinds (Service, Deployment, ServiceAccount) come back with defaults filled in, and a mutating webhook may do
that to any kind. What a run wrote must still be told from what somebody else wrote, also by a `recover` after its death. So
such an object carries what was written as an annotation, as `kubectl apply` does, and is read back as that text for as long as
the object still says so.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from runner.errors import Position
from runner.istio.resource import Resource, ResourceKey
from runner.yamlfile.documents import Document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.mesh.cluster.kinds import Place

MEMO = "meshtrial.dev/written"
"""The annotation with what a run wrote, where the server shows it with more filled in."""

DEFAULTED = frozenset({"Service", "Deployment", "ServiceAccount"})
"""Kinds in which the server fills in defaults."""

_SERVER_SET = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
)
_CONTROLLER_SET = ("deployment.kubernetes.io/revision",)
_TOP_SERVER_SET = {"ServiceAccount": ("secrets",)}


def stripped(item: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what the server and its controllers set, `status` too."""
    body = {key: value for key, value in item.items() if key != "status"}
    for key in _TOP_SERVER_SET.get(str(item.get("kind")), ()):
        body.pop(key, None)
    metadata = {key: value for key, value in (item.get("metadata") or {}).items() if key not in _SERVER_SET}
    annotations = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key not in _CONTROLLER_SET and key != MEMO
    }
    for key, value in (("annotations", annotations), ("labels", metadata.get("labels") or {})):
        if value:
            metadata[key] = value
        else:
            metadata.pop(key, None)
    body["metadata"] = metadata
    return body


def resource_of(item: Mapping[str, Any], place: Place, source: str) -> Resource:
    """An object of the server as a resource.

    Args:
        item: as the server gave it (lists leave `kind` and `apiVersion` out of their items).
        place: its kind's.
        source: how to name the cluster in messages.
    """
    whole = {"apiVersion": place.api_version, "kind": place.kind, **item}
    metadata = whole.get("metadata") or {}
    key = ResourceKey(place.kind, str(metadata.get("namespace") or ""), str(metadata["name"]))
    body = written(whole) or stripped(whole)
    start = Position(f"{source}: {key.kind} {key.namespace}/{key.name}", 1, 1)
    return Resource(key, body, Document(start.file, body, {(): start}, {}))


def written(item: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a run wrote, when the object carries that and still says so; None otherwise."""
    memo = ((item.get("metadata") or {}).get("annotations") or {}).get(MEMO)
    if memo is None:
        return None
    try:
        body = json.loads(memo)
    except ValueError:
        return None
    if isinstance(body, dict) and includes(stripped(item), plain(body)):
        return body
    return None


def plain(body: Mapping[str, Any]) -> dict[str, Any]:
    """A body in the form in which the server would show it without filling anything in."""
    return stripped(_without_nulls(dict(body)))


def same(item: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    """Whether an object of the server is just what a body says, nothing filled in; versions of the API aside."""
    here, there = stripped(item), plain(body)
    return {**here, "apiVersion": ""} == {**there, "apiVersion": ""}


def includes(item: Any, part: Any) -> bool:
    """Whether `item` says all that `part` says: mappings may have more keys, lists have the same length."""
    if isinstance(part, dict):
        return isinstance(item, dict) and all(
            key == "apiVersion" or (key in item and includes(item[key], value)) for key, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(item, list) and len(item) == len(part) and all(map(includes, item, part))
    return bool(item == part)


def outgoing(resource: Resource, *, memo: bool) -> dict[str, Any]:
    """What is sent for a resource; with a memo of what was written where the server would fill something in."""
    body = copy.deepcopy(resource.body)
    body.pop("status", None)
    if memo:
        text = json.dumps(resource.body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        metadata = body.setdefault("metadata", {})
        metadata["annotations"] = {**(metadata.get("annotations") or {}), MEMO: text}
    return body


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
