"""An API server's refusal of an object, brought home: each field that it names, at its place in the user's file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runner.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.istio.resource import Resource
    from runner.mesh.cluster.errors import StatusError
    from runner.yamlfile.documents import Loc

_STRICT = re.compile(r'(unknown|duplicate) field "([^"]+)"')
"""Of `strict decoding error: unknown field "spec.http[0].foo", unknown field "spec.bar"` (`fieldValidation=Strict`)."""

TOO_OLD = "This cluster's Istio does not know it: leave the field out, or upgrade Istio and its CRDs"

_STEP = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")


def refusal_problems(resource: Resource, error: StatusError) -> list[Problem]:
    """What the server says about an object, as problems with file, line and column.

    Args:
        resource: the object.
        error: why it refused it.
    """
    named = list(_named(error))
    if not named:
        return [Problem(f"the API server refuses {resource.key}: {error.message}", resource.position())]
    return [
        Problem(
            f"the API server refuses {resource.key}: {words}",
            resource.position(*way, key=key),
            suggestion=TOO_OLD if words.startswith("unknown") else None,
        )
        for way, words, key in named
    ]


def _named(error: StatusError) -> Iterator[tuple[Loc, str, bool]]:
    """Each field that it names: the way there, what is said about it, and whether the key itself is what is wrong."""
    strict = _STRICT.findall(error.message)
    for what, field in dict.fromkeys(strict):
        yield steps(field), f'{what} field "{field}"', True
    if strict:
        return
    seen: set[str] = set()
    for field, words in error.fields:
        if field and field not in seen and any(part.isalnum() for part in field):
            seen.add(field)
            yield steps(field), f"{field}: {words}", False


def steps(field: str) -> Loc:
    """The way to a field as Kubernetes writes it: `spec.http[0].route` is `("spec", "http", 0, "route")`."""
    found: list[str | int] = []
    for inside, plain in _STEP.findall(field):
        found.append(int(inside) if inside.isdigit() else inside or plain)
    return tuple(found)
