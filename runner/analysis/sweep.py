"""The one sentence that answers a sweep: a metric's value at every value of the matrix variable, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.analysis.words import listing, quantity
from runner.spec.metrics import Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.results.document.variant import VariantRecord

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
    variable = swept(variants)
    if variable is None:
        return None
    family = [variant for variant in variants if variant.matrix]
    plain = [variant for variant in variants if not variant.matrix]
    values = listing([variant.matrix[variable] for variant in family], len(family))
    parts = [f"p95 {_row(family, _p95)}", f"error rate {_row(family, _errors)}"]
    parts += [f"`{label}` {_row(family, _share_of(label))}" for label in _labels(family)]
    text = f"By {variable} ({values}): {'; '.join(parts)}"
    if plain:
        text += f". The baseline {plain[0].name} has p95 {_p95(plain[0])} and error rate {_errors(plain[0])}"
    return f"{text}."


def swept(variants: Sequence[VariantRecord]) -> str | None:
    """The one matrix variable of a run whose variants, but for the baseline, are one family of it; None for any other run."""
    family = [variant for variant in variants if variant.matrix]
    plain = [variant for variant in variants if not variant.matrix]
    if len(family) < _LEAST or len({(variant.family, *variant.matrix) for variant in family}) > 1:
        return None
    if len(family[0].matrix) > 1 or plain not in ([], [variants[0]]):
        return None
    return next(iter(family[0].matrix))


def sweep_phrases(variant: VariantRecord, variants: Sequence[VariantRecord]) -> list[str]:
    """One variant's part of a sweep, a phrase for each figure; `variants` are all of the run."""
    labels = _labels([one for one in variants if one.matrix])
    shares = [f"`{label}` {_share_of(label)(variant)}" for label in labels]
    return [f"p95 {_p95(variant)}", f"error rate {_errors(variant)}", *shares]


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
