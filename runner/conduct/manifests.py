"""The manifests that an experiment lists, read for the mesh that is to hold them, with their bytes for the run folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from runner.istio.load import load_manifests, resources_from
from runner.istio.resource import DEFAULT_NAMESPACE
from runner.spec.mesh import ClusterMesh
from runner.yamlfile.dialect import to_yaml
from runner.yamlfile.documents import shown_path

if TYPE_CHECKING:
    from pathlib import Path

    from runner.istio.resource import Resource
    from runner.spec.mesh import MeshChoice
    from runner.yamlfile.documents import Document


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as it is listed: its name, its bytes, its resources."""

    name: str
    content: bytes
    resources: tuple[Resource, ...]


class Reading(TypedDict):
    """How manifests are read (`runner.istio.load.load_manifests`)."""

    namespace: str
    embedded: bool


def reading_for(mesh: MeshChoice) -> Reading:
    """How manifests are read for a mesh: a cluster has its own namespace, and holds what the embedded mesh can't."""
    if isinstance(mesh, ClusterMesh):
        return {"namespace": mesh.cluster.namespace, "embedded": False}
    return {"namespace": DEFAULT_NAMESPACE, "embedded": True}


def from_file(path: Path, reading: Reading) -> Manifest:
    """A manifest file.

    Raises:
        InputError: it can't be read, or anything in it is wrong.
    """
    shown = shown_path(path)
    return Manifest(shown, path.read_bytes(), tuple(load_manifests(path, shown, **reading)))


def from_inline(document: Document, reading: Reading) -> Manifest:
    """A resource that stands in the experiment itself.

    Raises:
        InputError: it is wrong.
    """
    content = to_yaml(document.data).encode()
    return Manifest("inline", content, tuple(resources_from(document, **reading)))
