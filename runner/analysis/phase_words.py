"""What phases came to, in sentences: when the fault showed, when it was gone, and the answer of a run that is about an outage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.analysis.words import quantity
from runner.spec.metrics import Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.analysis.measured import Measured
    from runner.results.document.phases import PhaseRecord
    from runner.results.document.variant import VariantRecord


def detected_words(measured: Measured) -> str:
    """`time_to_detect` in a sentence."""
    if measured.never:
        return f"A second that breaks the objective was seen {measured.never}: no alert would have fired."
    if measured.value is None:
        return f"Time to detect is not known: {measured.missing}."
    return f"The first second that broke the objective was over {measured.text} after the switch on: no alert could fire sooner."


def recovered_words(measured: Measured) -> str:
    """`time_to_recover` in a sentence."""
    if measured.never:
        return f"The objective was kept again {measured.never}: it did not recover."
    if measured.value is None:
        return f"Time to recover is not known: {measured.missing}."
    return f"The objective was kept again, three seconds in a row, from {measured.text} after the switch off."


def phases_headline(variants: Sequence[VariantRecord]) -> str | None:
    """The answer of a run whose variants have phases, such as `no-timeout: p95 31 ms before, 2.04 s during, 30 ms after; ...`.

    Returns:
        One sentence; None for any other run.
    """
    told = [f"{variant.name}: {', '.join(texts)}" for variant in variants if (texts := phase_phrases(variant))]
    return "; ".join(told) + "." if told else None


def phase_phrases(variant: VariantRecord) -> list[str]:
    """What one variant's phases came to, a phrase for each figure; none for a variant without phases."""
    phases = variant.phases
    if phases is None or not phases.parts:
        return []
    texts = [f"p95 {', '.join(f'{_p95(part)} {part.name}' for part in phases.parts)}"]
    failed = [part for part in phases.parts if part.errors]
    if failed:
        texts.append(f"errors {', '.join(f'{quantity(part.error_rate, Unit.SHARE)} {part.name}' for part in failed)}")
    for interval, words in ((phases.time_to_detect_s, "broken after"), (phases.time_to_recover_s, "recovered after")):
        if interval is not None and interval.estimate is not None:
            texts.append(f"{words} {quantity(interval.estimate * 1000, Unit.MILLISECONDS)}")
    return texts


def _p95(part: PhaseRecord) -> str:
    value = part.latency_ms.p95
    return quantity(value, Unit.MILLISECONDS) if value is not None else "unknown"
