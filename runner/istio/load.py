"""Manifest files and inline resources as `Resource`s, every mistake with file, line and column.

The same YAML that kubectl takes: several documents in a file, `List` objects, a namespace that need not be named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from runner.errors import InputError, Position, Problem
from runner.istio.envelope import resource_from
from runner.istio.kinds import KINDS
from runner.istio.resource import DEFAULT_NAMESPACE, Resource, ResourceKey
from runner.istio.scan import read_model
from runner.yamlfile import Document, parse_documents, read_documents

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from runner.istio.destination_rule import DestinationRule
    from runner.istio.gateway import Gateway
    from runner.istio.kube import Deployment, Service, ServiceAccount
    from runner.istio.virtual_service import VirtualService

    Typed = VirtualService | DestinationRule | Gateway | Service | Deployment | ServiceAccount

__all__ = [
    "load_manifests",
    "merge",
    "parse_manifests",
    "refuse_twice",
    "resource_from",
    "resources_from",
    "typed",
]


def load_manifests(path: Path, shown: str | None = None, *, namespace: str = DEFAULT_NAMESPACE) -> list[Resource]:
    """All resources of a manifest file, their specs read and found good.

    Args:
        path: the file.
        shown: how to name it in messages; the path as given otherwise.
        namespace: of resources that name none.

    Raises:
        InputError: the file can't be read, or any resource in it is wrong; all problems of the file together.
    """
    documents = read_documents(path, shown)
    if not documents:
        raise InputError(Problem(f"{shown or path}: no resources in this file", expected="Istio or Kubernetes YAML"))
    return _load(documents, namespace)


def parse_manifests(text: str, file: str, *, namespace: str = DEFAULT_NAMESPACE) -> list[Resource]:
    """As `load_manifests`, from text; `file` is its name in messages.

    Raises:
        InputError: any resource in it is wrong.
    """
    return _load(parse_documents(text, file), namespace)


def _load(documents: Sequence[Document], namespace: str) -> list[Resource]:
    problems: list[Problem] = []
    resources: list[Resource] = []
    for document in documents:
        try:
            parts = list(_parts(document))
        except InputError as error:
            problems += error.problems
            continue
        for part in parts:
            try:
                resource = resource_from(part, namespace=namespace)
                typed(resource)
            except InputError as error:
                problems += error.problems
            else:
                resources.append(resource)
    try:
        refuse_twice(resources)
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(problems)
    return resources


def resources_from(document: Document, *, namespace: str = DEFAULT_NAMESPACE) -> list[Resource]:
    """The resources of an inline value: one object, or a kubectl `List`, which is taken apart.

    Raises:
        InputError: a resource is wrong, also in its spec.
    """
    return _load([document], namespace)


def _parts(document: Document) -> Iterable[Document]:
    data = document.data
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str) or not kind.endswith("List") or kind in KINDS:
        return [document]
    items = data.get("items")
    if not isinstance(items, list):
        raise InputError(
            Problem(f"{kind} without items", document.position(("items",)), expected="a list of resources in `items`")
        )
    return [document.under("items", index) for index in range(len(items))]


def typed(resource: Resource) -> Typed:
    """The resource's spec as the model of its kind; read once, kept with the resource.

    Raises:
        InputError: with every problem in the spec, at its place.
    """
    known = resource.parsed.get(resource.key.kind)
    if known is None:
        model = KINDS[resource.key.kind].model
        if model is None:
            raise InputError(Problem(f"{resource.key.kind} is not supported yet", resource.position("kind")))
        spec = resource.body.get("spec")
        known = read_model(model, {} if spec is None else spec, resource.document, ("spec",))
        resource.parsed[resource.key.kind] = known
    return cast("Typed", known)


def refuse_twice(resources: Iterable[Resource]) -> None:
    """Check that one list names each resource once.

    Raises:
        InputError: a kind, namespace and name stands in it twice.
    """
    first: dict[ResourceKey, Position] = {}
    problems = []
    for resource in resources:
        where = resource.position("metadata", "name")
        if resource.key in first:
            hint = f"The first is at {first[resource.key]}; of two lists the later wins, in one list it is a mistake"
            problems.append(Problem(f"{resource.key} stands here twice", where, suggestion=hint))
        else:
            first[resource.key] = where
    if problems:
        raise InputError(problems)


def merge(base: Sequence[Resource], *layers: Sequence[Resource]) -> list[Resource]:
    """Lay lists of resources over each other: a later one replaces an earlier one with the same key, as a whole.

    Returns:
        All resources, in the order in which their keys first appear.

    Raises:
        InputError: one layer has a key twice.
    """
    state = {resource.key: resource for resource in base}
    for layer in layers:
        refuse_twice(layer)
        state.update({resource.key: resource for resource in layer})
    return list(state.values())
