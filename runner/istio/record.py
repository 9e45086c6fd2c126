"""Resources as plain data, for the files that must bring them back: the journal, and a mesh's own memory."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from runner.errors import Position
from runner.istio.resource import Resource, ResourceKey
from runner.yamlfile.documents import Document


def record_of(resource: Resource) -> dict[str, Any]:
    """A resource as plain data, with the place it came from."""
    place = resource.position()
    return {"key": asdict(resource.key), "body": resource.body, "file": place.file, "line": place.line}


def resource_from_record(record: dict[str, Any]) -> Resource:
    """The resource that `record_of` gave; every position in it is the place where it started."""
    place = Position(record["file"], record["line"], 1)
    document = Document(record["file"], record["body"], {(): place}, {})
    return Resource(ResourceKey(**record["key"]), record["body"], document)
