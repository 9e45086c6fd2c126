"""YAML with the place of every value kept, because an error without a line number costs the user a search.

Everything that users write (experiment files, manifests, app files) is read here, by the same rules: YAML 1.2
booleans (only `true` and `false`, so that a variant named `on` stays `on`), duplicate keys refused, several documents in a
file allowed. pydantic's errors are turned into problems with file, line and column.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from runner.errors import InputError, Position, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Loc = tuple[str | int, ...]
"""The way to a value: keys and list indexes from the top of its document."""

Model = TypeVar("Model", bound=BaseModel)

_BASE: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BASE):  # type: ignore[misc]  # PyYAML builds its loaders at run time
    """Safe loader with YAML 1.2's booleans and no implicit dates (a date stays the text the user wrote)."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":timestamp"))]
    for first, resolvers in _BASE.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: its plain values, and where each of them stands."""

    file: str
    data: Any
    values: dict[Loc, Position] = field(repr=False)
    keys: dict[Loc, Position] = field(repr=False)

    def position(self, loc: Sequence[str | int], *, key: bool = False) -> Position:
        """Where the value at `loc` stands (or its key), or the nearest thing around it that exists."""
        way = tuple(loc)
        if key and way in self.keys:
            return self.keys[way]
        while way not in self.values and way:
            way = way[:-1]
        return self.values.get(way, Position(self.file, 1, 1))

    def under(self, *loc: str | int) -> Document:
        """The part of this document below `loc`, positions kept."""
        data = self.data
        for step in loc:
            data = data[step]
        size = len(loc)

        def below(places: dict[Loc, Position]) -> dict[Loc, Position]:
            return {way[size:]: place for way, place in places.items() if way[:size] == loc}

        return Document(self.file, data, below(self.values), below(self.keys))


def read_documents(path: Path, shown: str | None = None) -> list[Document]:
    """All non-empty documents of a YAML file.

    Args:
        path: the file.
        shown: how to name it in messages; the path as given otherwise.

    Raises:
        InputError: the file is missing, unreadable, not YAML, or has a key twice.
    """
    name = shown or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, _names_beside(path), n=1)
        suggestion = f'Did you mean "{path.parent / near[0]}"?' if near else None
        raise InputError(Problem(f"{name}: no such file", suggestion=suggestion)) from None
    except IsADirectoryError:
        raise InputError(Problem(f"{name} is a folder", expected="a YAML file")) from None
    except UnicodeDecodeError as error:
        raise InputError(Problem(f"{name}: not UTF-8 text ({error.reason} at byte {error.start})")) from None
    except OSError as error:
        raise InputError(Problem(f"{name}: {error.strerror or error}")) from None
    return parse_documents(text, name)


def parse_documents(text: str, file: str) -> list[Document]:
    """All non-empty documents of a YAML text; `file` is its name in messages.

    Raises:
        InputError: the text is not YAML, or has a key twice.
    """
    documents = []
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            values: dict[Loc, Position] = {}
            keys: dict[Loc, Position] = {}
            data = _walk(loader, node, (), file, values, keys, frozenset())
            if data is not None:
                documents.append(Document(file, data, values, keys))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = Position(file, mark.line + 1, mark.column + 1) if mark else Position(file, 1, 1)
        message = f"broken YAML: {error.problem or error.context}"
        raise InputError(Problem(message, where, suggestion=_broken_hint(error.problem))) from None
    except yaml.YAMLError as error:
        raise InputError(Problem(f"broken YAML: {' '.join(str(error).split())}", Position(file, 1, 1))) from None
    finally:
        loader.dispose()
    return documents


def _walk(
    loader: Any,
    node: yaml.Node,
    loc: Loc,
    file: str,
    values: dict[Loc, Position],
    keys: dict[Loc, Position],
    open_nodes: frozenset[int],
) -> Any:
    place = Position(file, node.start_mark.line + 1, node.start_mark.column + 1)
    values[loc] = place
    if id(node) in open_nodes:
        raise InputError(Problem("an alias that contains itself", place))
    inside = open_nodes | {id(node)}
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key_place = Position(file, key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node, yaml.ScalarNode):
                raise InputError(Problem("a key that is not a plain word", key_place, expected="text"))
            key = str(key_node.value)
            if key in mapping:
                first = keys[(*loc, key)]
                raise InputError(Problem(f'the key "{key}" stands here twice', key_place, suggestion=f"The first is at line {first.line}"))
            keys[(*loc, key)] = key_place
            mapping[key] = _walk(loader, value_node, (*loc, key), file, values, keys, inside)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_walk(loader, child, (*loc, index), file, values, keys, inside) for index, child in enumerate(node.value)]
    return loader.construct_object(node, deep=True)


def _names_beside(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return []


def _broken_hint(problem: str | None) -> str | None:
    if problem and "cannot start any token" in problem and "\\t" in problem:
        return "YAML indents with spaces, never tabs"
    if problem and "mapping values are not allowed" in problem:
        return "Look for a missing line break, or quote a value that contains ': '"
    return None


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
    problems: list[Problem] = []
    seen: set[tuple[Position, str]] = set()
    for detail in error.errors(include_url=False):
        loc = tuple(step for step in (*prefix, *detail["loc"]))
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
            label = ".".join(str(step) for step in loc if isinstance(step, int) or not step.startswith("function-"))
            problem = Problem(f"{label}: {message[:1].lower() + message[1:]}" if label else message, where)
        if (where, problem.message) not in seen:
            seen.add((where, problem.message))
            problems.append(problem)
    return problems


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
