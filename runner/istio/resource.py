"""One Istio or Kubernetes resource as it was read: its key, its spec, and where each line of it stands."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

    from runner.errors import Position
    from runner.yamlfile.documents import Document

DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, slots=True, order=True)
class ResourceKey:
    """What makes a resource the same one: kind, namespace and name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource, plain: `body` is the whole manifest as written, with `metadata.namespace` filled in."""

    key: ResourceKey
    body: dict[str, Any]
    document: Document = field(repr=False, compare=False)
    """Positions of everything in `body`."""
    parsed: dict[str, BaseModel | None] = field(default_factory=dict, repr=False, compare=False)
    """The spec as `runner.istio.load.typed` and `known_part` read it: filled at the first call of each."""

    @property
    def spec(self) -> dict[str, Any]:
        """The resource's `spec` (empty when it has none)."""
        spec = self.body.get("spec")
        return spec if isinstance(spec, dict) else {}

    @property
    def labels(self) -> dict[str, str]:
        """`metadata.labels`."""
        labels = self.body.get("metadata", {}).get("labels") or {}
        return {str(name): str(value) for name, value in labels.items()}

    def position(self, *loc: str | int, key: bool = False) -> Position:
        """Where something of this resource stands in the user's file."""
        return self.document.position(loc, key=key)

    def canonical(self) -> str:
        """The body in one fixed spelling, for comparing two states byte for byte."""
        return json.dumps(self.body, sort_keys=True, ensure_ascii=False)
