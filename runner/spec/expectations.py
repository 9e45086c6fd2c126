"""Checks and guardrails of an expanded file: which variants a key means, each text parsed at its column."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.errors import InputError, Position, Problem
from runner.spec.checks import Check, Condition, Guardrail, parse_check, parse_guardrail, parse_objective
from runner.spec.metrics import Metric
from runner.spec.templates import RenderError, render_scalar
from runner.yamlfile.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from runner.spec.phases import Phases
    from runner.spec.variants import ExpandedVariant, Expansion
    from runner.yamlfile.documents import Document


@dataclass(frozen=True, slots=True)
class Source:
    """The lines of the user's file, to tell where inside of a scalar a column is."""

    lines: Sequence[str]

    def place(self, text: str, where: Position) -> tuple[Position, bool]:
        """Where the first character of a scalar's text stands, and whether the text is there as it is.

        A text that a template or an escape made is not, and stands at the scalar's own place.
        """
        line = self.lines[where.line - 1] if where.line <= len(self.lines) else ""
        start = where.column - 1
        start += line[start : start + 1] in {'"', "'"}
        if text and line.startswith(text, start):
            return Position(where.file, where.line, start + 1), True
        return where, False


def variants_named(word: str, variants: Sequence[ExpandedVariant]) -> tuple[list[ExpandedVariant], bool]:
    """The variants that a name means, and whether it is the exact name of one.

    A name as it is written under `variants` means all the variants that it was expanded into.
    """
    exact = [variant for variant in variants if variant.name == word]
    if exact:
        return exact[:1], True
    return [variant for variant in variants if _tight(variant.key) == _tight(word)], False


def _tight(text: str) -> str:
    return re.sub(r"\{\{\s*(.*?)\s*\}\}", r"{{\1}}", text)


def names_of(variants: Sequence[ExpandedVariant]) -> list[str]:
    """Every name that a check may use, expanded ones first."""
    return list(dict.fromkeys([*(variant.name for variant in variants), *(variant.key for variant in variants)]))


def read_checks(
    document: Document, expansion: Expansion, source: Source, promql: Collection[str] | None
) -> list[Check]:
    """All checks of the file, for every expansion of their variants; problems go to the expansion's findings."""
    data = document.data.get("checks")
    if data is None:
        return []
    findings = expansion.findings
    if not isinstance(data, dict):
        expected = '"VARIANT" or "VARIANT vs BASELINE", each with a list of checks'
        findings.add(Problem("checks should be a mapping", document.position(("checks",)), expected))
        return []
    checks: list[Check] = []
    for key, texts in data.items():
        pairs = _pairs(key, document, expansion, source)
        if not isinstance(texts, list):
            findings.add(
                Problem(f"the checks of {key} should be a list", document.position(("checks", key)), '["p95 < 250ms"]')
            )
            continue
        for index, text in enumerate(texts):
            where = document.position(("checks", key, index))
            if not isinstance(text, str):
                findings.add(Problem("a check is text", where, '"METRIC OP VALUE"', "Put quotes around it"))
                continue
            for variant, baseline in pairs:
                rendered = render_scalar(text, variant.scope, findings, where)
                if where in findings.failed:
                    continue
                rendered = rendered if isinstance(rendered, str) else str(rendered)
                place, inside = source.place(rendered, where)
                try:
                    name = baseline.name if baseline else None
                    checks.append(parse_check(rendered, variant.name, name, place, promql=promql, inside=inside))
                except InputError as error:
                    findings.add(*error.problems)
    return checks


def _pairs(
    key: str, document: Document, expansion: Expansion, source: Source
) -> list[tuple[ExpandedVariant, ExpandedVariant | None]]:
    """The variants, each with the one it is compared with, that a key of `checks` means."""
    variants, findings = expansion.variants, expansion.findings
    where = document.position(("checks", key), key=True)
    whole, _ = variants_named(key, variants)
    if whole:
        return [(variant, None) for variant in whole]
    words = re.split(r"\s+vs\.?\s+", key)
    if len(words) > 2:  # noqa: PLR2004 - a pair
        findings.add(Problem(f'"{key}" compares more than two', where, '"VARIANT vs BASELINE"'))
        return []
    found = [_look_up(word, key, where, expansion, source) for word in words]
    if not all(named for named, _ in found):
        return []
    (left, left_exact), *others = found
    if not others:
        return [(variant, None) for variant in left]
    ((right, right_exact),) = others
    pairs = [
        (one, other)
        for one, other in itertools.product(left, right)
        if one is not other and (left_exact or right_exact or _same_axes(one, other))
    ]
    if not pairs:
        findings.add(Problem(f'"{key}" compares a variant with itself', where, "two variants"))
    return [(one, other) for one, other in pairs]


def _same_axes(one: ExpandedVariant, other: ExpandedVariant) -> bool:
    return all(other.axes[axis] == value for axis, value in one.axes.items() if axis in other.axes)


def _look_up(
    word: str, key: str, where: Position, expansion: Expansion, source: Source
) -> tuple[list[ExpandedVariant], bool]:
    """The variants that a word of a key means; an unknown one is a problem, unless a variant could not be expanded."""
    named, exact = variants_named(word, expansion.variants)
    if not named and "{{" in word:
        try:
            named, exact = variants_named(str(expansion.scope.render(word, where)), expansion.variants)
        except RenderError as error:
            expansion.findings.fail(error.problem, where)
            return [], False
    if not named and expansion.complete:
        place, inside = source.place(key, where)
        if inside:
            place = Position(place.file, place.line, place.column + key.index(word))
        names = names_of(expansion.variants)
        expansion.findings.add(
            Problem(f'no variant "{word}"', place, "one of " + ", ".join(names), suggest(word, names))
        )
    return named, exact


def read_guardrails(texts: Any, settings: Document, expansion: Expansion, source: Source) -> list[Guardrail]:
    """All guardrails of the file; problems go to the expansion's findings."""
    guardrails = []
    for index, text in enumerate(texts if isinstance(texts, list) else ()):
        where = settings.position(("stop_if", index))
        if isinstance(text, str) and where not in expansion.findings.failed:
            place, inside = source.place(text, where)
            try:
                guardrails.append(parse_guardrail(text, place, inside=inside))
            except InputError as error:
                expansion.findings.add(*error.problems)
    return guardrails


def read_objective(
    text: str, settings: Document, expansion: Expansion, source: Source, key: str = "capacity"
) -> tuple[Condition, ...]:
    """The conditions of an objective, `capacity.objective` or `phases.objective`; problems go to the expansion's findings."""
    where = settings.position((key, "objective"))
    if where in expansion.findings.failed:
        return ()
    place, inside = source.place(text, where)
    try:
        return parse_objective(text, place, inside=inside, seconds=key == "phases")
    except InputError as error:
        expansion.findings.add(*error.problems)
        return ()


def without_phases(checks: Sequence[Check], phases: Mapping[str, Phases | None]) -> Iterator[Problem]:
    """Checks on phases of variants that have none, and on times of variants whose phases have no objective.

    Args:
        checks: all of the file.
        phases: by variant; a variant that could not be read is not in it.
    """
    for check in checks:
        sides = [(check.variant, check.metric), (check.baseline or check.variant, check.operand)]
        sides += [(check.baseline, check.metric)] if check.baseline and not isinstance(check.operand, Metric) else []
        for variant, metric in sides:
            if not isinstance(metric, Metric) or not metric.needs_phases or variant not in phases:
                continue
            own = phases[variant]
            if own is None:
                expected = "phases: {apply: [...], before: 10s, during: 10s, after: 10s}"
                yield Problem(f'"{check.text}": {variant} has no phases', check.position, expected)
            elif metric.is_time_to and own.objective is None:
                yield Problem(
                    f'"{check.text}": the phases of {variant} have no objective to hold a second against',
                    check.position,
                    'phases: {objective: "p95 < 500ms and error_rate < 1%", ...}',
                )
