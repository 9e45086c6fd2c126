"""Variants of an experiment file: the matrix expanded, each load merged with the experiment's, all of it rendered.

An expanded variant is a document of its own, whose places are those of the user's file.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.errors import Position, Problem
from runner.spec.sandbox import ENV, is_name, read_values
from runner.spec.templates import Findings, RenderError, Scope, render_document, texts_in
from runner.yamlfile.documents import Document, Loc

if TYPE_CHECKING:
    from collections.abc import Mapping

_ONE_OF = (
    ("arrivals", "users"),
    ("locust", "fortio"),
    ("rate", "stages"),
    ("payload", "payload_file"),
    ("processes", "workers"),
)
"""Keys of a load that exclude each other: a variant that gives one drops the experiment's other."""
_FORTIO_REPLACES = ("arrivals", "users")
"""What goes with Locust only: a variant that gives fortio instead drops the experiment's."""
_MOST_VARIANTS = 100


@dataclass(frozen=True, slots=True)
class ExpandedVariant:
    """One variant after expansion.

    Attributes:
        name: as it will be shown.
        key: its key as written.
        axes: the matrix values that made it, by variable.
        scope: its variables, for its checks.
        document: `apply`, `url`, `phases` and the merged `load`, rendered.
        place: where its key stands.
        secret_headers: headers of its load whose values come from the environment.
        has_load: whether the file gives it a load at all.
    """

    name: str
    key: str
    axes: Mapping[str, Any]
    scope: Scope
    document: Document
    place: Position
    secret_headers: frozenset[str] = frozenset()
    has_load: bool = True


@dataclass(slots=True)
class Expansion:
    """The expanded file.

    Attributes:
        settings: the top-level keys but vars, matrix, variants, load and checks, rendered.
        variants: in the file's order.
        scope: the experiment's own variables.
        findings: problems, places that failed to render, secrets.
        unused_axes: matrix variables that no variant uses.
        complete: whether every variant could be expanded, so that a name that is not there is wrong.
        load_broken: whether the experiment's load is no mapping, so that nothing can be said of the variants' own.
    """

    settings: Document
    variants: list[ExpandedVariant]
    scope: Scope
    findings: Findings
    unused_axes: list[str] = field(default_factory=list)
    complete: bool = True
    load_broken: bool = False

    def secrets(self) -> frozenset[str]:
        """Texts that hold values from the environment, and those values."""
        return frozenset(self.findings.secrets | {value for value in read_values(self.scope.environment) if value})


def expand_variants(document: Document, axes: dict[str, list[Any]], expansion: Expansion) -> None:
    """Put every variant of the file, expanded, into `expansion`; what can't be goes to its findings."""
    findings = expansion.findings
    bodies = document.data.get("variants")
    base = document.under("load") if document.data.get("load") is not None else None
    if base is not None and not isinstance(base.data, dict):
        findings.fail(
            Problem("load should be a mapping", base.position(()), "load: {locust: {file: ...}}"), base.position(())
        )
        base, expansion.load_broken = None, True
    if bodies is None and document.data.get("capacity") is not None:
        bodies = {"baseline": None}
        place = document.position(("capacity",), key=True)
        document = Document(
            document.file,
            {**document.data, "variants": bodies},
            {**document.values, ("variants",): place, ("variants", "baseline"): place},
            {**document.keys, ("variants",): place, ("variants", "baseline"): place},
        )
    if not isinstance(bodies, dict) or not bodies:
        what = "variants is missing" if bodies is None and "variants" not in document.data else "variants is empty"
        if bodies and not isinstance(bodies, dict):
            what = "variants should be a mapping"
        where = document.position(("variants",))
        findings.add(Problem(what, where, "at least one variant by name: variants: {baseline: {apply: [...]}}"))
        expansion.complete = False
        return
    used: set[str] = set()
    for key in bodies:
        try:
            used |= _expand_variant(document, key, base, axes, expansion)
        except RenderError as error:
            expansion.complete = False
            findings.fail(error.problem, document.position(("variants", key), key=True))
    expansion.unused_axes = [name for name in axes if name not in used]
    _refuse_same_names(expansion)


def _expand_variant(
    document: Document, key: str, base: Document | None, axes: dict[str, list[Any]], expansion: Expansion
) -> set[str]:
    """Add the expansions of one variant; returns the matrix variables that it uses."""
    findings, place = expansion.findings, document.position(("variants", key), key=True)
    body = document.under("variants", key)
    if body.data is None:
        body = Document(body.file, {}, body.values, body.keys)
    if not isinstance(body.data, dict):
        raise RenderError(Problem(f"{key} should be a mapping", body.position(()), f"{key}: {{apply: [...]}}"))
    own = variables_at(body, ("vars",), findings)
    content = without(body, {"vars", "load"})
    over = body.under("load") if body.data.get("load") is not None else None
    if over is not None and not isinstance(over.data, dict):
        findings.fail(Problem("load should be a mapping", over.position(())), over.position(()))
        over = None
    load = overlay(base, over) if base and over else over or base
    if load is not None:
        content = _graft(content, "load", load)
    if content.data.get("phases") is None and document.data.get("phases") is not None:
        content = _graft(content, "phases", document.under("phases"))
    scope = expansion.scope.over(own, {})
    texts = [key, *texts_in(content.data), *(text for part in own.values() for text in texts_in(part.data))]
    names = frozenset().union(*(scope.uses(text) for text in texts))
    if ENV in scope.uses(key):
        raise RenderError(Problem("a variant's name can't hold a value from the environment", place))
    mine = [name for name in axes if name in names and name not in own]
    secret = _secret_headers(load, scope)
    for values in itertools.product(*(axes[name] for name in mine)):
        chosen = dict(zip(mine, values, strict=True))
        inner = expansion.scope.over(own, chosen)
        name = _name(key, chosen, inner, place)
        try_variables(inner, findings)
        rendered = render_document(content, inner, findings)
        expansion.variants.append(ExpandedVariant(name, key, chosen, inner, rendered, place, secret, load is not None))
        if len(expansion.variants) > _MOST_VARIANTS:
            raise RenderError(Problem(f"the matrix makes more than {_MOST_VARIANTS} variants", place))
    return set(mine)


def _name(key: str, chosen: dict[str, Any], scope: Scope, place: Position) -> str:
    """An expansion's name: its key rendered, or with the matrix values in brackets."""
    name = key
    if "{{" in key:
        name = spell(scope.render(key, place))
    elif chosen:
        name = f"{key}[{','.join(f'{axis}={spell(value)}' for axis, value in chosen.items())}]"
    if fault := _name_fault(name):
        raise RenderError(Problem(f"a variant's name {fault}", place))
    return name


def _secret_headers(load: Document | None, scope: Scope) -> frozenset[str]:
    headers = load.data.get("headers") if load is not None else None
    if not isinstance(headers, dict):
        return frozenset()
    return frozenset(
        name for name, value in headers.items() if any(ENV in scope.uses(text) for text in texts_in(value))
    )


def _name_fault(name: str) -> str | None:
    if not name.strip() or name != name.strip():
        return "can't be empty, or begin or end with a blank"
    if any(ord(character) < ord(" ") for character in name):
        return "can't hold a line break or a control character"
    if re.search(r"\svs\s", name):
        return 'can\'t hold " vs ", which stands between two variants in checks'
    return None


def _refuse_same_names(expansion: Expansion) -> None:
    first: dict[str, ExpandedVariant] = {}
    told: set[tuple[str, str]] = set()
    for variant in expansion.variants:
        earlier = first.setdefault(variant.name, variant)
        if earlier is variant or (earlier.key, variant.key) in told:
            continue
        told.add((earlier.key, variant.key))
        hint = None
        if earlier.key == variant.key:
            missing = [axis for axis in variant.axes if variant.axes[axis] != earlier.axes[axis]]
            hint = f"Put {' and '.join(f'{{{{ {axis} }}}}' for axis in missing)} in its name"
        expansion.findings.add(
            Problem(f'two variants are named "{variant.name}" after expansion', variant.place, suggestion=hint)
        )


def overlay(base: Document, over: Document) -> Document:
    """A load with a variant's changes laid over it: mappings are merged, anything else is replaced."""
    values: dict[Loc, Position] = {}
    keys: dict[Loc, Position] = {}

    def copy(source: Document, loc: Loc, data: Any) -> Any:
        for places, kept in ((source.values, values), (source.keys, keys)):
            kept.update({way: place for way, place in places.items() if way[: len(loc)] == loc})
        return data

    def merge(low: Any, high: Any, loc: Loc) -> Any:
        if not (isinstance(low, dict) and isinstance(high, dict)):
            return copy(over, loc, high)
        blamed = over if any(one in high for pair in _ONE_OF for one in pair) else base
        values[loc] = blamed.position(loc)
        if loc in blamed.keys:
            keys[loc] = blamed.keys[loc]
        dropped = _dropped(low, high)
        merged: dict[str, Any] = {}
        for key in [*low, *(key for key in high if key not in low)]:
            if key in high and key in low:
                merged[key] = merge(low[key], high[key], (*loc, key))
            elif key in high:
                merged[key] = copy(over, (*loc, key), high[key])
            elif key not in dropped:
                merged[key] = copy(base, (*loc, key), low[key])
        return merged

    return Document(over.file, merge(base.data, over.data, ()), values, keys)


def _dropped(low: dict[str, Any], high: dict[str, Any]) -> set[str]:
    """Keys of `low` that what `high` gives takes the place of."""
    dropped = {other for pair in _ONE_OF for one in pair for other in pair if one in high and other not in high}
    if "fortio" in high and "fortio" not in low:
        dropped |= {key for key in _FORTIO_REPLACES if key not in high}
    return dropped


def _graft(document: Document, key: str, part: Document) -> Document:
    """The document with `part` put under `key`."""
    values = {loc: place for loc, place in document.values.items() if loc[:1] != (key,)}
    keys = {loc: place for loc, place in document.keys.items() if loc[:1] != (key,)}
    values.update({(key, *loc): place for loc, place in part.values.items()})
    keys.update({(key, *loc): place for loc, place in part.keys.items()})
    return Document(document.file, {**document.data, key: part.data}, values, keys)


def spell(value: Any) -> str:
    """A matrix value as it stands in a name: as YAML spells it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def variables_at(document: Document, loc: Loc, findings: Findings) -> dict[str, Document]:
    """The variables under `loc`, unrendered, each with its place."""
    data: Any = document.data
    for step in loc:
        data = data.get(step) if isinstance(data, dict) else None
    if data is None:
        return {}
    if not isinstance(data, dict):
        findings.add(
            Problem(
                f"{loc[-1]} should be a mapping", document.position(loc), "names with their values: vars: {delay: 2s}"
            )
        )
        return {}
    found = {}
    for name in data:
        if is_name(name):
            found[name] = document.under(*loc, name)
        else:
            where = document.position((*loc, name), key=True)
            findings.add(
                Problem(
                    f'"{name}" can\'t name a variable',
                    where,
                    "letters, digits and _, and no word of the template language",
                )
            )
    return found


def try_variables(scope: Scope, findings: Findings) -> None:
    """Render every variable that has a value here, so that a wrong one that nothing uses is an error too."""
    for name, part in scope.written.items():
        if not any(scope.uses(text) & scope.axes for text in texts_in(part.data)):
            try:
                scope.value(name)
            except RenderError as error:
                findings.fail(error.problem, part.position(()))


def without(document: Document, names: set[str]) -> Document:
    """The document without some of its top-level keys."""
    data = {key: value for key, value in document.data.items() if key not in names}
    return Document(document.file, data, document.values, document.keys)
