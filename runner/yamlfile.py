"""YAML with the place of every value kept, because an error without a line number costs the user a search.

Everything that users write (experiment files, manifests, app files) is read here, by the same rules: YAML 1.2
booleans (only `true` and `false`, so that a variant named `on` stays `on`), duplicate keys refused (`<<` may be
overridden), several documents in a file allowed. pydantic's errors are turned into problems with file, line and column.
"""

from __future__ import annotations

import difflib
import os
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


_MERGE = "tag:yaml.org,2002:merge"
_MOST_VALUES = 200_000
"""More values than this in one document come from aliases that multiply, not from a person."""


class _Loader(_BASE):  # type: ignore[misc]  # PyYAML builds its loaders at run time
    """Safe loader with YAML 1.2's booleans and numbers (`1:30` is text), and dates as the text the user wrote."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if not tag.endswith((":bool", ":timestamp", ":int", ":float", ":value"))
    ]
    for first, resolvers in _BASE.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(?:0b[01]+|0o?[0-7]+|0x[0-9a-fA-F]+|0|[1-9][0-9_]*)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.[0-9]+(?:[eE][-+]?[0-9]+)?"
        r"|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that YAML 1.1 or this module's rules would read as something else (`on`, `1e3`, `0o17`)."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's own signature
        """Write what stands twice twice: kubectl's users expect no anchors."""
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Escape the line breaks that are none here: they would come back as blanks."""
        style = '"' if any(sign in data for sign in "\x85\u2028\u2029") else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


_Dumper.add_representer(str, _Dumper.represent_str)
_Dumper.yaml_implicit_resolvers = {
    first: [
        *yaml.SafeDumper.yaml_implicit_resolvers.get(first, []),
        *_Loader.yaml_implicit_resolvers.get(first, []),
    ]
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *_Loader.yaml_implicit_resolvers}
}


def to_yaml(data: Any) -> str:
    """Plain values as YAML that reads back as the same values, here and in kubectl."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


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


def shown_path(path: Path) -> str:
    """A path as messages show it: relative to where the user stands when that is shorter."""
    try:
        relative = os.path.relpath(path)
    except (OSError, ValueError):  # the working directory is gone
        return str(path)
    return relative if len(relative) < len(str(path)) else str(path)


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
    loader = None
    try:
        loader = _Loader(text)
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
        raise InputError(Problem(message, where, suggestion=_broken_hint(error, text))) from None
    except yaml.YAMLError as error:
        raise InputError(Problem(f"broken YAML: {' '.join(str(error).split())}", Position(file, 1, 1))) from None
    except RecursionError:
        raise InputError(Problem("nested too deep to be read", Position(file, 1, 1))) from None
    finally:
        if loader is not None:
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
    if len(values) > _MOST_VALUES:
        raise InputError(Problem("aliases make this document too large to be meant", place))
    inside = open_nodes | {id(node)}
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        merged: set[str] = set()
        for key_node, value_node, own in _pairs(node, file, inside):
            key_place = Position(file, key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node, yaml.ScalarNode):
                raise InputError(Problem("a key that is not a plain word", key_place, expected="text"))
            key = str(key_node.value)
            if own and key in mapping and key not in merged:
                first = keys[(*loc, key)]
                raise InputError(
                    Problem(
                        f'the key "{key}" stands here twice', key_place, suggestion=f"The first is at line {first.line}"
                    )
                )
            (merged.discard if own else merged.add)(key)
            keys[(*loc, key)] = key_place
            mapping[key] = _walk(loader, value_node, (*loc, key), file, values, keys, inside)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [
            _walk(loader, child, (*loc, index), file, values, keys, inside) for index, child in enumerate(node.value)
        ]
    try:
        return loader.construct_object(node, deep=True)
    except (ValueError, LookupError, AttributeError, TypeError):
        raise InputError(Problem(f"{node.value!r} is no {node.tag.rpartition(':')[2]}", place)) from None


def _pairs(node: yaml.MappingNode, file: str, inside: frozenset[int]) -> list[tuple[yaml.Node, yaml.Node, bool]]:
    """A mapping's keys and values: first those that `<<` merges (False), then its own (True), which override them."""
    merged: list[tuple[yaml.Node, yaml.Node, bool]] = []
    own: list[tuple[yaml.Node, yaml.Node, bool]] = []
    for key_node, value_node in node.value:
        if key_node.tag != _MERGE:
            own.append((key_node, value_node, True))
            continue
        sources = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
        for source in reversed(sources):
            place = Position(file, value_node.start_mark.line + 1, value_node.start_mark.column + 1)
            if not isinstance(source, yaml.MappingNode):
                raise InputError(
                    Problem("<< merges something that is no mapping", place, expected="an alias of a mapping")
                )
            if id(source) in inside:
                raise InputError(Problem("an alias that contains itself", place))
            merged += [(key, value, False) for key, value, _ in _pairs(source, file, inside | {id(source)})]
    return merged + own


def _names_beside(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return []


def _broken_hint(error: yaml.MarkedYAMLError, text: str) -> str | None:
    problem, mark, context = error.problem or "", error.problem_mark, error.context_mark
    if "cannot start any token" in problem and mark:
        line = text.split("\n")[mark.line : mark.line + 1]
        if line and line[0][mark.column : mark.column + 1] == "\t":
            return "YAML indents with spaces, never tabs"
    if "mapping values are not allowed" in problem:
        return "Look for a missing line break, or quote a value that contains ': '"
    if context and mark and context.line != mark.line and error.context:
        return f"It happened {error.context} that begins at line {context.line + 1}"
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
