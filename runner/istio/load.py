"""Manifest files and inline resources as `Resource`s, every mistake with file, line and column.

The same YAML that kubectl takes: several documents in a file, `List` objects, a namespace that need not be named. Which kinds and
fields there are is Istio's to say; which of them can be held is the mesh's: the embedded one refuses what it does not translate,
and a cluster gets it as written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from runner.errors import InputError, Position, Problem
from runner.istio.envelope import resource_from
from runner.istio.fields import NOT_SUPPORTED, is_unsupported
from runner.istio.kinds import KINDS
from runner.istio.resource import DEFAULT_NAMESPACE, Resource, ResourceKey
from runner.istio.scan import read_known_part, read_model
from runner.yamlfile.documents import Document, parse_documents, read_documents

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from runner.istio.authorization_policy import AuthorizationPolicy
    from runner.istio.destination_rule import DestinationRule
    from runner.istio.gateway import Gateway
    from runner.istio.kube import Deployment, Namespace, Service, ServiceAccount
    from runner.istio.peer_authentication import PeerAuthentication
    from runner.istio.virtual_service import VirtualService

    Typed = (
        AuthorizationPolicy
        | PeerAuthentication
        | VirtualService
        | DestinationRule
        | Gateway
        | Service
        | Deployment
        | Namespace
        | ServiceAccount
    )

__all__ = [
    "known_part",
    "load_manifests",
    "merge",
    "parse_manifests",
    "refuse_twice",
    "resource_from",
    "resources_from",
    "says_more",
    "typed",
]


def load_manifests(
    path: Path, shown: str | None = None, *, namespace: str = DEFAULT_NAMESPACE, embedded: bool = True
) -> list[Resource]:
    """All resources of a manifest file, their specs read and found good.

    Args:
        path: the file.
        shown: how to name it in messages; the path as given otherwise.
        namespace: of resources that name none.
        embedded: whether the embedded mesh is to hold them. For a cluster, kinds and fields of Istio's that it does not translate
            are no mistakes.

    Raises:
        InputError: the file can't be read, or any resource in it is wrong; all problems of the file together.
    """
    documents = read_documents(path, shown)
    if not documents:
        raise InputError(Problem(f"{shown or path}: no resources in this file", expected="Istio or Kubernetes YAML"))
    return _load(documents, namespace, embedded=embedded)


def parse_manifests(
    text: str, file: str, *, namespace: str = DEFAULT_NAMESPACE, embedded: bool = True
) -> list[Resource]:
    """As `load_manifests`, from text; `file` is its name in messages.

    Raises:
        InputError: any resource in it is wrong.
    """
    return _load(parse_documents(text, file), namespace, embedded=embedded)


def _load(documents: Sequence[Document], namespace: str, *, embedded: bool) -> list[Resource]:
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
                resource = resource_from(part, namespace=namespace, embedded=embedded)
                if embedded:
                    typed(resource)
                else:
                    _read_known_part(resource)
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


def resources_from(document: Document, *, namespace: str = DEFAULT_NAMESPACE, embedded: bool = True) -> list[Resource]:
    """The resources of an inline value: one object, or a kubectl `List`, which is taken apart.

    Raises:
        InputError: a resource is wrong, also in its spec.
    """
    return _load([document], namespace, embedded=embedded)


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
            raise InputError(Problem(f"{resource.key.kind} is a kind {NOT_SUPPORTED}", resource.position("kind")))
        spec = resource.body.get("spec")
        known = read_model(model, {} if spec is None else spec, resource.document, ("spec",))
        resource.parsed[resource.key.kind] = known
    return cast("Typed", known)


def known_part(resource: Resource) -> Typed | None:
    """As `typed`, as far as the models know: fields that they lack are left out.

    Returns:
        None where they know nothing of it: its kind, or what it is about; also when it is wrong.
    """
    if _KNOWN_PART not in resource.parsed:
        try:
            _read_known_part(resource)
        except InputError:
            resource.parsed[_KNOWN_PART] = None
    return cast("Typed | None", resource.parsed[_KNOWN_PART])


def says_more(resource: Resource) -> bool:
    """Whether a resource says something that Istio knows and the models do not, so that only a cluster can hold it."""
    try:
        typed(resource)
    except InputError as error:
        return any(is_unsupported(problem) for problem in error.problems)
    return False


_KNOWN_PART = "known part"


def _read_known_part(resource: Resource) -> None:
    """Keep what the models know of a resource with it.

    Raises:
        InputError: with every problem that Istio itself would have with it.
    """
    kind = KINDS.get(resource.key.kind)
    known = resource.parsed.get(resource.key.kind)
    if known is None and kind is not None and kind.model is not None:
        spec = resource.body.get("spec")
        known = read_known_part(kind.model, {} if spec is None else spec, resource.document, ("spec",))
    resource.parsed[_KNOWN_PART] = known


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
