"""From all searches of a capacity run to everything the document says about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.analysis.analyse import Analysis, variant_record
from runner.analysis.capacity_sum import hull, together
from runner.analysis.capacity_words import capacity_phrases
from runner.analysis.checks import deciding_comparisons, evaluate
from runner.analysis.compare import compare
from runner.analysis.evidence import counting
from runner.analysis.gating import ComparisonKey, gating_comparisons
from runner.analysis.signed_rank import holm
from runner.analysis.verdict import verdict
from runner.results.document.run import Verdict
from runner.spec.metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.analysis.evidence import TrialEvidence
    from runner.results.document.checks import ComparisonRecord
    from runner.results.document.figures import Interval
    from runner.results.document.variant import VariantRecord
    from runner.spec.checks import Check

CAPACITY = Metric("capacity")


def analyse_searches(
    names: Sequence[str],
    searches: Sequence[TrialEvidence],
    checks: Sequence[Check] = (),
    *,
    objective: str = "",
    error: str | None = None,
    aborted: str | None = None,
) -> Analysis:
    """Analyse a capacity run.

    Args:
        names: the variants in order, the baseline first.
        searches: one trial for each search, its `capacity` set where it found one; `absent["capacity"]` says why where not.
            The window is what was measured at the lower bound: the figures of a variant are those at the rate it keeps.
        checks: the experiment's checks on capacity.
        objective: as the experiment file has it, for the headline.
        error: what failed from outside, when that ended the run.
        aborted: what stopped the run early.
    """
    variants = [variant_record(name, searches, baseline=place == 0) for place, name in enumerate(names)]
    for variant in variants:
        variant.capacity = _capacity(_found(searches, variant.name))
    gating = gating_comparisons(checks, searches)
    tested = [record for record in gating.values() if record.p_value is not None]
    for record, adjusted in zip(tested, holm([record.p_value or 0.0 for record in tested]), strict=True):
        record.p_adjusted = adjusted
    comparisons = list(gating.values()) + [
        compare(CAPACITY, name, names[0], searches)
        for name in names[1:]
        if ComparisonKey(CAPACITY, name, names[0]) not in gating
    ]
    deciding = deciding_comparisons(checks, searches, gating)
    decided = [evaluate(check, searches, deciding) for check in checks]
    word, reason = verdict(decided, error=error, aborted=aborted)
    if error is None and aborted is None and not checks:
        reason = "The searches measured and asserted nothing: the experiment has no checks on capacity."
    nothing = [search for search in searches if search.capacity is None]
    if word in {Verdict.PASS, Verdict.INCONCLUSIVE} and nothing:
        why = nothing[0].absent.get("capacity", "no capacity was found")
        word, reason = Verdict.INCONCLUSIVE, f"No capacity was found for {nothing[0].variant}: {why}."
    return Analysis(variants, comparisons, decided, word, reason, _headline(variants, comparisons, objective))


def _found(searches: Sequence[TrialEvidence], variant: str) -> list[Interval]:
    return [trial.capacity for trial in counting(searches, variant) if trial.capacity is not None]


def _capacity(found: Sequence[Interval]) -> dict[str, float] | None:
    """The estimate and the bounds: of the one search, or the centre and the outermost bounds of several."""
    if not found:
        return None
    low, high = hull(found)
    return {"rate": together(found).estimate or 0.0, "low": low, "high": high}


def _headline(variants: Sequence[VariantRecord], comparisons: Sequence[ComparisonRecord], objective: str) -> str:
    """The answer: `v1 keeps ... up to 412/s (402 to 421/s); v3 up to 371/s (362 to 380/s), 10 % lower than v1`."""
    parts = []
    for place, variant in enumerate(variants):
        who = variant.name if place else f"{variant.name} keeps {objective}"
        texts = ", ".join(capacity_phrases(variant, variants, comparisons))
        parts.append(f"{who} {texts}" if variant.capacity else f"{variant.name}: {texts}")
    return "; ".join(parts) + "."
