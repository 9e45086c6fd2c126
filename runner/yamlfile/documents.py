"""Documents with the place of every value kept: read from a file or a text, duplicate keys refused."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from runner.errors import InputError, Position, Problem
from runner.yamlfile.dialect import Loader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Loc = tuple[str | int, ...]
"""The way to a value: keys and list indexes from the top of its document."""

_MERGE = "tag:yaml.org,2002:merge"
_MOST_VALUES = 200_000
"""More values than this in one document come from aliases that multiply, not from a person."""


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
        loader = Loader(text)
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
