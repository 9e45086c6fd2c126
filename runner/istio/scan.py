"""Keys first: tells fields that Istio has and the embedded mesh does not translate from words that nobody knows.

pydantic can only say that a key is extra. This walk over the data, beside the models, gives each such key its own
message, place and suggestion, and hands back the data without them, so that one mistake is reported once.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from runner.errors import InputError, Position, Problem
from runner.istio.fields import NOT_SUPPORTED, IstioModel, is_unsupported
from runner.yamlfile.problems import problems_of, suggest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeVar

    from runner.yamlfile.documents import Document, Loc

    Model = TypeVar("Model", bound=BaseModel)


@dataclass(slots=True)
class _Found:
    document: Document
    problems: list[Problem] = field(default_factory=list)
    incomplete: set[Position] = field(default_factory=set)
    """Places where pydantic would say the same again, or only that a mapping lost a key here."""


def read_model(model: type[Model], data: Any, document: Document, prefix: Sequence[str | int] = ()) -> Model:
    """`data` as `model`, with every unknown, unsupported and wrong thing in it reported at its place.

    Args:
        model: an `IstioModel`, or a Kubernetes model that ignores unknown keys.
        data: the plain values, taken from `document.data` at `prefix`.
        document: positions.
        prefix: the way from the top of the document to `data`.

    Raises:
        InputError: with all the problems, in the order of the file.
    """
    result, problems = _read(model, data, document, prefix)
    if problems or result is None:
        raise InputError(problems)
    return result


def read_known_part(
    model: type[Model], data: Any, document: Document, prefix: Sequence[str | int] = ()
) -> Model | None:
    """As `read_model`, for a mesh that can hold more than the models know: fields that they lack are left out.

    Returns:
        None when what is left out leaves nothing that makes sense by itself (a VirtualService without http routes).

    Raises:
        InputError: with the problems that Istio itself would have with it.
    """
    result, problems = _read(model, data, document, prefix)
    wrong = [problem for problem in problems if not is_unsupported(problem)]
    if wrong and (issubclass(model, IstioModel) or len(wrong) == len(problems)):
        raise InputError(wrong)
    if result is not None or wrong:
        return result
    return _rest(model, _known_keys(model, data, tuple(prefix), _Found(document)))


def _rest(model: type[Model], clean: Any) -> Model | None:
    """What is known of data with values that only Istio knows: all but the mappings that hold such values."""
    rest = copy.deepcopy(clean)
    try:
        return model.model_validate(rest)
    except ValidationError as error:
        details = error.errors(include_url=False)
    ways = {_way(rest, detail["loc"])[:-1] for detail in details}
    if not all(NOT_SUPPORTED in detail["msg"] for detail in details) or () in ways:
        return None
    for way in sorted(ways, key=len, reverse=True):
        inside = rest
        for step in way[:-1]:
            inside = inside[step]
        if isinstance(inside, dict):
            inside.pop(way[-1], None)
    try:
        return model.model_validate(rest)
    except ValidationError:
        return None


def _way(data: Any, loc: Loc) -> Loc:
    """The part of pydantic's way to a value that is in the data: without names of unions and the like."""
    way: list[str | int] = []
    for step in loc:
        known = (isinstance(data, dict) and step in data) or (
            isinstance(data, list) and isinstance(step, int) and step < len(data)
        )
        if known:
            data = data[step]
            way.append(step)
    return tuple(way)


def _read(
    model: type[Model], data: Any, document: Document, prefix: Sequence[str | int]
) -> tuple[Model | None, list[Problem]]:
    """The model of what it knows of `data` (None when that is wrong), and every problem, in the order of the file."""
    found = _Found(document)
    clean = _known_keys(model, data, tuple(prefix), found)
    problems = found.problems
    result: Model | None = None
    try:
        result = model.model_validate(clean)
    except ValidationError as error:
        problems += [
            problem for problem in problems_of(error, document, model, prefix) if problem.where not in found.incomplete
        ]
        if not problems:
            raise  # pragma: no cover - a place is incomplete only together with a problem
    return result, sorted(problems, key=_line_and_column)


def _line_and_column(problem: Problem) -> tuple[int, int]:
    return (problem.where.line, problem.where.column) if problem.where else (0, 0)


def _known_keys(model: type[BaseModel], data: Any, loc: Loc, found: _Found) -> Any:
    if data is None:
        return data
    if not isinstance(data, dict):
        where = found.document.position(loc)
        takes = ", ".join(info.alias or name for name, info in model.model_fields.items())
        label = ".".join(str(step) for step in loc)
        found.problems.append(Problem(f"{label}: {data!r} is no mapping", where, f"a mapping with {takes}"))
        found.incomplete.add(where)
        return data
    fields = {info.alias or name: info for name, info in model.model_fields.items()}
    unsupported: frozenset[str] = frozenset()
    if issubclass(model, IstioModel):
        unsupported = model.unsupported
        fields |= {name: model.model_fields[name] for name in model.also_spelled}
    elif model.model_config.get("extra") != "forbid":
        # Kubernetes: keys that are not needed are nobody's mistake, and hold no part of a model.
        return data
    clean = {}
    for key, value in data.items():
        if key in fields:
            clean[key] = _inside(fields[key].annotation, value, (*loc, key), found)
            continue
        where = found.document.position((*loc, key), key=True)
        found.incomplete.add(found.document.position(loc))
        if key in unsupported:
            problem = Problem(f'"{key}" is a field of Istio\'s {NOT_SUPPORTED}', where)
        else:
            names = [info.alias or name for name, info in model.model_fields.items()]
            hint = suggest(key, (*names, *unsupported))
            problem = Problem(f'unknown key "{key}"', where, "one of " + ", ".join(names), hint)
        found.problems.append(problem)
    return clean


def _inside(annotation: Any, value: Any, loc: Loc, found: _Found) -> Any:
    """Walk into whatever a field holds: a model, a list of models, or a mapping to models."""
    inner = _model_in(annotation)
    if inner is None:
        return value
    if isinstance(value, list):
        return [_inside(annotation, item, (*loc, index), found) for index, item in enumerate(value)]
    if isinstance(value, dict) and _is_mapping(annotation):
        return {key: _known_keys(inner, item, (*loc, key), found) for key, item in value.items()}
    return _known_keys(inner, value, loc, found)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field's type names, through `X | None`, `Annotated`, `list` and `dict`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        inner = _model_in(part)
        if inner is not None:
            return inner
    return None


def _is_mapping(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) is dict
