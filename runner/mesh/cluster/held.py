"""One object of the API server as a run knows it, and the server's refusals in words that name it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.errors import ConfigRejectedError, MeshError
from runner.mesh.base import ChangedError
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.objects import resource_of

if TYPE_CHECKING:
    from runner.errors import Position
    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.cluster.kinds import Place


@dataclass(slots=True)
class Held:
    """An object as it was last seen.

    Attributes:
        resource: what it says.
        version: its resourceVersion.
        uid: its own identity: another object may come to have its name.
        generation: counts changes of its spec.
        by: who wrote it last, and when, for messages.
        created: when, as the server writes it; of two policies of one reach Istio takes the older.
    """

    resource: Resource
    version: str
    uid: str
    generation: int
    by: str
    created: str = ""


def held_of(item: dict[str, Any], place: Place, source: str) -> Held:
    """An object as the server shows it; `source` is how to name the cluster in messages."""
    metadata = item["metadata"]
    return Held(
        resource_of(item, place, source),
        str(metadata.get("resourceVersion") or ""),
        str(metadata.get("uid") or ""),
        int(metadata.get("generation") or 0),
        _writer(item),
        str(metadata.get("creationTimestamp") or ""),
    )


def _writer(item: dict[str, Any]) -> str:
    entries = [entry for entry in item["metadata"].get("managedFields") or [] if not entry.get("subresource")]
    if not entries:
        return "unknown"
    last = max(entries, key=lambda entry: str(entry.get("time") or ""))
    return f"{last.get('manager') or 'unknown'} at {last.get('time') or 'an unknown time'}"


def told(error: MeshError, key: ResourceKey, where: Position | None) -> MeshError:
    """A server's answer in a sentence that names the resource, and what can be done."""
    if not isinstance(error, StatusError):
        return error
    place = f"{where}: " if where else ""
    if error.refused:
        return ConfigRejectedError(f"{place}the API server refused {key}: {error.message}")
    return MeshError(f"{place}{key} could not be changed: {error.message}", advice=error.advice)


def foreign(key: ResourceKey, now: Held | None) -> ChangedError:
    """What is said when somebody else changed or deleted an object of the run."""
    what = f"changed by somebody else ({now.by})" if now is not None else "deleted by somebody else"
    return ChangedError(
        f"{key} was {what} while this run had it",
        advice="Their change was left as it is. Keep others (Flagger, Argo, a colleague) off this namespace during a run",
    )
