"""What every resource has whatever its kind: apiVersion, kind and metadata, checked before anyone looks at the spec."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runner.errors import InputError, Problem
from runner.istio.fields import NOT_SUPPORTED
from runner.istio.kinds import KINDS, SUPPORTED, Kind
from runner.istio.resource import DEFAULT_NAMESPACE, Resource, ResourceKey
from runner.yamlfile.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.yamlfile.documents import Document

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_NAME_LENGTH = 253
"""Of a DNS subdomain (RFC 1123), which Kubernetes names are."""

_KEYS = ("apiVersion", "kind", "metadata", "spec")
_OTHERS = frozenset(
    {
        "Secret",
        "ConfigMap",
        "Pod",
        "StatefulSet",
        "DaemonSet",
        "ReplicaSet",
        "Job",
        "CronJob",
        "Ingress",
        "NetworkPolicy",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "PersistentVolumeClaim",
        "HTTPRoute",
        "GRPCRoute",
        "TCPRoute",
        "TLSRoute",
    }
)
"""Kinds of Kubernetes that an experiment may need, and no run changes."""
_BEFORE = "Should the experiment need it, have it there before the run: kubectl apply -f"


def resource_from(document: Document, *, namespace: str = DEFAULT_NAMESPACE, embedded: bool = True) -> Resource:
    """One resource, its envelope checked; `runner.istio.load.typed` reads the spec.

    Args:
        document: the object with its positions (`Document.under` for one that is inline in another file).
        namespace: of a resource that names none.
        embedded: whether the embedded mesh is to hold it; a cluster takes kinds that that one does not.

    Raises:
        InputError: it is no resource that the mesh takes.
    """
    data = document.data
    if not isinstance(data, dict):
        expected = "a mapping with apiVersion, kind and metadata"
        raise InputError(Problem("this is no resource", document.position(()), expected))
    kind = _kind(document, data, embedded=embedded)
    problems = [*_unknown_keys(kind, data, document), *_metadata_problems(kind, data, document)]
    spec = data.get("spec")
    if spec is not None and not isinstance(spec, dict):
        where = document.position(("spec",))
        problems.append(Problem(f"spec of this {kind.name} is not a mapping", where, "the resource's fields"))
    if problems:
        raise InputError(problems)
    metadata = data["metadata"]
    home = (metadata.get("namespace") or namespace) if kind.namespaced else ""
    body = {**data, "metadata": {**metadata, "namespace": home}} if kind.namespaced else data
    return Resource(ResourceKey(kind.name, home, metadata["name"]), body, document)


def _kind(document: Document, data: dict[str, Any], *, embedded: bool) -> Kind:
    names = "one of " + ", ".join(SUPPORTED if embedded else KINDS)
    name = data.get("kind")
    where = document.position(("kind",))
    if not isinstance(name, str) or not name:
        raise InputError(Problem("a resource without a kind", where, names))
    kind = KINDS.get(name)
    if kind is None:
        what = "the embedded mesh does not know" if embedded else "a run can't apply to a cluster"
        hint = _BEFORE if name in _OTHERS and not embedded else suggest(name, KINDS)
        raise InputError(Problem(f'{what} the kind "{name}"', where, names, hint))
    version = data.get("apiVersion")
    if version not in kind.api_versions:
        where = document.position(("apiVersion",))
        expected = " or ".join(kind.api_versions)
        if version is None:
            raise InputError(Problem(f"{name} without apiVersion", where, expected))
        hint = None
        if isinstance(version, str) and version.startswith("gateway.networking.k8s.io/"):
            mesh = "The embedded mesh does not support" if embedded else "A run does not apply resources of"
            hint = f"{mesh} the Kubernetes Gateway API yet"
        raise InputError(Problem(f'{name} has no apiVersion "{version}"', where, expected, hint))
    if embedded and kind.model is None:
        raise InputError(Problem(f"{name} is a kind of Istio's {NOT_SUPPORTED}", where, names))
    return kind


def _unknown_keys(kind: Kind, data: dict[str, Any], document: Document) -> Iterator[Problem]:
    inside = {info.alias for info in kind.model.model_fields.values()} if kind.model else set()
    for key in data:
        if key in _KEYS or key == "status" or key in kind.body_keys:
            continue
        hint = f"It belongs under spec of this {kind.name}" if key in inside else suggest(key, _KEYS)
        where = document.position((key,), key=True)
        yield Problem(f'unknown key "{key}"', where, "one of " + ", ".join(_KEYS), hint)


def _metadata_problems(kind: Kind, data: dict[str, Any], document: Document) -> Iterator[Problem]:
    metadata = data.get("metadata")
    where = document.position(("metadata",), key=True)
    if not isinstance(metadata, dict):
        yield Problem(f"{kind.name} without metadata", where, "metadata: {name: ...}")
        return
    name = metadata.get("name")
    if name is None:
        yield Problem(f"{kind.name} without a name", where, "metadata.name")
    for what, value in (("name", name), ("namespace", metadata.get("namespace"))):
        if value is not None and not (_is_name(value) and (what == "name" or "." not in value)):
            place = document.position(("metadata", what))
            yield Problem(f"{value!r} is not a {what}", place, "lower-case letters, digits and '-' (RFC 1123)")
    for what in ("labels", "annotations"):
        pairs = metadata.get(what)
        if pairs is None:
            continue
        if not isinstance(pairs, dict):
            place = document.position(("metadata", what))
            yield Problem(f"metadata.{what} is not a mapping", place, "names and values")
            continue
        for label, value in pairs.items():
            if not isinstance(value, str):
                place = document.position(("metadata", what, label))
                yield Problem(f"metadata.{what}.{label}: {value!r} is not text", place, suggestion="Quote it")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _NAME_LENGTH and _NAME.fullmatch(value) is not None
