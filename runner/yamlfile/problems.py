"""What pydantic finds wrong with a document, as problems with file, line and column, and what the user may have meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from runner.errors import InputError, Position, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.yamlfile.documents import Document, Loc

Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], document: Document, prefix: Sequence[str | int] = ()) -> Model:
    """The document's data as `model`.

    Args:
        model: the pydantic model.
        document: the data; `prefix` is where in it `document.data` was taken from, for positions.
        prefix: a way that is put before pydantic's own `loc`.

    Raises:
        InputError: with one problem for each thing that pydantic found.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        raise InputError(problems_of(error, document, model, prefix)) from None


def problems_of(
    error: ValidationError, document: Document, model: type[BaseModel], prefix: Sequence[str | int] = ()
) -> list[Problem]:
    """What pydantic found, as problems with positions and suggestions, without repeats of one place."""
    problems: dict[tuple[Position, str], Problem] = {}
    for detail in error.errors(include_url=False):
        loc = _written((*prefix, *detail["loc"]), document)
        unknown = detail["type"] == "extra_forbidden"
        where = document.position(loc, key=unknown)
        if unknown:
            names = field_names(model, detail["loc"][:-1])
            name = str(detail["loc"][-1])
            problem = Problem(f'unknown key "{name}"', where, _one_of(names), suggest(name, names))
        elif detail["type"] == "missing":
            problem = Problem(f'"{detail["loc"][-1]}" is missing', where)
        else:
            message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
            label = ".".join(str(step) for step in (loc if loc in document.values else loc[:-1]))
            problem = Problem(f"{label}: {message[:1].lower() + message[1:]}" if label else message, where)
        known = problems.get((where, problem.message))
        if known is None or (problem.suggestion and not known.suggestion):
            problems[where, problem.message] = problem
    return list(problems.values())


def _written(loc: Loc, document: Document) -> Loc:
    """`loc` without the names that pydantic puts in for unions and validators, which no user wrote."""
    way: Loc = ()
    for step in loc[:-1]:
        if (*way, step) in document.values:
            way = (*way, step)
    return (*way, *loc[-1:])


def suggest(word: str, known: Iterable[str]) -> str | None:
    """`Did you mean "apply"?` when a known word is close to `word`."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'Did you mean "{near[0]}"?' if near else None


def _one_of(names: Sequence[str]) -> str | None:
    return "one of " + ", ".join(names) if names else None


def field_names(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys that `model` takes at `loc`, as the user writes them."""
    found: list[type[BaseModel]] = [model]
    for step in loc:
        if isinstance(step, int):
            continue
        named = [candidate for candidate in found if candidate.__name__ == step]
        if named:  # pydantic names the member of a union that it tried
            found = named
            continue
        nexts: list[type[BaseModel]] = []
        for candidate in found:
            for name, info in candidate.model_fields.items():
                if step in (info.alias, name):
                    nexts += _models_in(info.annotation)
        if nexts:
            found = nexts
    return [info.alias or name for candidate in found[:1] for name, info in candidate.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]
