"""What a run came to, variant by variant: the headline's words in parts, for readers who look for one of many variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.analysis.capacity_words import capacity_phrases
from runner.analysis.phase_words import phase_phrases
from runner.analysis.sweep import sweep_phrases, swept
from runner.analysis.verdict import alone, loop_words, phrases
from runner.analysis.words import quantity
from runner.spec.metrics import Unit

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.results.document.run import RunDocument
    from runner.results.document.variant import VariantRecord


@dataclass(frozen=True, slots=True)
class Answer:
    """One variant's part; `place` is its place in the run."""

    place: int
    variant: str
    phrases: list[str]


@dataclass(frozen=True, slots=True)
class Answers:
    """All variants' parts; `lead` is what they have in common, a few words that may end with a colon."""

    lead: str
    lines: list[Answer]


_MANY = 3
"""Variants from which a line for each reads better than one sentence."""
_MANY_WHOLE = 2
"""The same where the sentence has a whole part for every variant."""

_SHOWN = 0.05
"""A label is worth naming when more than this share of the responses showed it ..."""
_MOST_SHOWN = 2
"""... and is among so many."""


def answers(document: RunDocument) -> Answers | None:
    """The headline in parts; None where the sentence is as good, or where there is none.

    Args:
        document: the run, with its figures, comparisons and headline.
    """
    variants = document.variants
    if not document.headline or document.aa or len(variants) < _MANY_WHOLE:
        return None
    if document.capacity is not None:
        lead = f"The highest rate that keeps {document.capacity.objective}"
        return _each(document, lead, lambda variant: capacity_phrases(variant, variants, document.comparisons))
    if family := swept(variants):
        return _each(document, f"By {family}", lambda variant: sweep_phrases(variant, variants))
    if any(variant.phases and variant.phases.parts for variant in variants):
        return _each(document, "", phase_phrases)
    if len(variants) < _MANY:
        return None
    baseline = variants[0]
    lead = f"Against {baseline.name}, the baseline{loop_words(baseline)}"
    return _each(
        document,
        lead,
        lambda variant: (
            _baseline(variant)
            if variant is baseline
            else phrases(variant, baseline, document.comparisons, shares_first=True)
        ),
    )


def _baseline(variant: VariantRecord) -> list[str]:
    """What the others are held against: its figures, what most of its responses showed, and at last its rate."""
    if not variant.requests:
        return alone(variant)
    rate, *figures = alone(variant)
    shares = {label: count / variant.requests for label, count in variant.outcomes.items()}
    most = sorted((label for label in shares if shares[label] > _SHOWN), key=lambda label: (-shares[label], label))
    shown = [f"{quantity(shares[label], Unit.SHARE)} of responses showed `{label}`" for label in most[:_MOST_SHOWN]]
    return [*figures, *shown, rate]


def _each(document: RunDocument, lead: str, of: Callable[[VariantRecord], list[str]]) -> Answers | None:
    lines = [Answer(place, variant.name, of(variant)) for place, variant in enumerate(document.variants)]
    return Answers(lead, lines) if any(line.phrases for line in lines) else None
