"""The one sentence that answers a sweep: a metric's value at every value of the matrix variable, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.analysis.words import listing, quantity
from runner.spec.checks import Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.results.document import VariantRecord

_LEAST = 3
"""Variants of one family from which a list of values reads better than each against the baseline."""
_SHIFT = 0.05
"""A label is worth naming when its share differs by more than this over the sweep."""
_MOST_LABELS = 2


def sweep_headline(variants: Sequence[VariantRecord]) -> str | None:
    """The headline of a run whose variants, but for the baseline, are one family of one matrix variable.

    Args:
        variants: of the run with `family` and `matrix`, the baseline first.

    Returns:
        One sentence, such as `By timeout (0.2s, 0.5s, 2s): p95 464 ms, 1.04 s, 1.1 s; error rate 0 %`; None for any
        other run.
    """
    swept = [variant for variant in variants if variant.matrix]
    plain = [variant for variant in variants if not variant.matrix]
    if len(swept) < _LEAST or len({(variant.family, *variant.matrix) for variant in swept}) > 1:
        return None
    if len(swept[0].matrix) > 1 or plain not in ([], [variants[0]]):
        return None
    variable = next(iter(swept[0].matrix))
    values = listing([variant.matrix[variable] for variant in swept], len(swept))
    parts = [f"p95 {_row(swept, _p95)}", f"error rate {_row(swept, _errors)}"]
    parts += [f"`{label}` {_row(swept, _share_of(label))}" for label in _labels(swept)]
    text = f"By {variable} ({values}): {'; '.join(parts)}"
    if plain:
        text += f". The baseline {plain[0].name} has p95 {_p95(plain[0])} and error rate {_errors(plain[0])}"
    return f"{text}."


def _row(variants: Sequence[VariantRecord], text: Callable[[VariantRecord], str]) -> str:
    """The values in order; one alone where all are the same."""
    texts = [text(variant) for variant in variants]
    return texts[0] + " at all of them" if len(set(texts)) == 1 else listing(texts, len(texts))


def _p95(variant: VariantRecord) -> str:
    value = variant.latency_ms.p95
    return quantity(value, Unit.MILLISECONDS) if value is not None else "unknown"


def _errors(variant: VariantRecord) -> str:
    return quantity(variant.error_rate, Unit.SHARE) if variant.requests else "unknown"


def _share_of(label: str) -> Callable[[VariantRecord], str]:
    def text(variant: VariantRecord) -> str:
        return quantity(_share(variant, label), Unit.SHARE) if variant.requests else "unknown"

    return text


def _share(variant: VariantRecord, label: str) -> float:
    return variant.outcomes.get(label, 0) / variant.requests if variant.requests else 0.0


def _labels(variants: Sequence[VariantRecord]) -> list[str]:
    """The labels whose shares differ, the most first."""
    measured = [variant for variant in variants if variant.requests]
    spreads = {
        label: max(shares) - min(shares)
        for label in sorted({label for variant in measured for label in variant.outcomes})
        if (shares := [_share(variant, label) for variant in measured])
    }
    found = [label for label, spread in spreads.items() if spread > _SHIFT]
    return sorted(found, key=lambda label: (-spreads[label], label))[:_MOST_LABELS]
