"""Several comparisons that decide one run's checks share its 5 % risk of a wrong claim.

What is published of a comparison is its interval of 1 - 0.05/m (Bonferroni): all m of them hold together. A check may be
decided by less: Holm's steps (Holm 1979, Scand. J. Statist. 6: 65-70). While some checks are decided at 0.05/m, the risk is
shared by those that are left, and they are looked at again at 0.05 divided by their number, until none more is decided.
The first step needs 1 + log2(m / 0.05) blocks, and a check says so when there were fewer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.analysis.compare import compare
from runner.analysis.words import Scale, scale_of
from runner.spec.metrics import Metric, Operator, Quantity, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.analysis.evidence import TrialEvidence
    from runner.results.document.checks import ComparisonRecord
    from runner.spec.checks import Check


@dataclass(frozen=True, slots=True)
class ComparisonKey:
    """What tells one comparison of a run from another."""

    metric: Metric
    variant: str
    baseline: str
    scale: Scale = Scale.RELATIVE


def is_count(metric: Metric) -> bool:
    """Whether a metric of one trial is a number of things, compared as it is."""
    return metric.name in {"requests", "errors", "dropped", "status", "outcome", "proxy"}


def scale_for(check: Check) -> Scale:
    """The scale on which a check compares: milliseconds for `p50 within 20ms`, else the metric's own."""
    in_ms = isinstance(check.operand, Quantity) and check.operand.unit is Unit.MILLISECONDS
    return Scale.MILLISECONDS if in_ms and check.metric.is_latency else scale_of(check.metric)


def key_of(check: Check) -> ComparisonKey | None:
    """The comparison that decides a check; None for one variant, and for counts, which are compared as they are."""
    if check.baseline is None:
        return None
    if isinstance(check.operand, Metric) and (check.operand != check.metric or is_count(check.metric)):
        return None
    return ComparisonKey(check.metric, check.variant, check.baseline, scale_for(check))


def _by_key(checks: Sequence[Check]) -> dict[ComparisonKey, list[Check]]:
    found: dict[ComparisonKey, list[Check]] = {}
    for check in checks:
        key = key_of(check)
        if key:
            found.setdefault(key, []).append(check)
    return found


def _margin(checks: Sequence[Check]) -> float | None:
    """What does not matter, when the checks say it: the narrowest `within`."""
    sizes = [
        abs(check.operand.value)
        for check in checks
        if check.operator is Operator.WITHIN and isinstance(check.operand, Quantity)
    ]
    return min(sizes) if sizes else None


def _compare(
    key: ComparisonKey, checks: Sequence[Check], trials: Sequence[TrialEvidence], tests: int
) -> ComparisonRecord:
    return compare(
        key.metric,
        key.variant,
        key.baseline,
        trials,
        tests=tests,
        gating=True,
        margin=_margin(checks),
        scale=key.scale,
    )


def gating_comparisons(
    checks: Sequence[Check], trials: Sequence[TrialEvidence]
) -> dict[ComparisonKey, ComparisonRecord]:
    """Every comparison that a check decides by, at the level that their number asks for."""
    by_key = _by_key(checks)
    return {key: _compare(key, mine, trials, len(by_key)) for key, mine in by_key.items()}


def step_down(
    checks: Sequence[Check],
    trials: Sequence[TrialEvidence],
    known: Mapping[ComparisonKey, ComparisonRecord],
    decides: Callable[[Check, ComparisonRecord], bool],
) -> dict[ComparisonKey, ComparisonRecord]:
    """Holm's steps.

    Args:
        checks: all of the run.
        trials: all of the run.
        known: from `gating_comparisons`.
        decides: whether a comparison decides a check, either way.

    Returns:
        By comparison, the record that its checks are to be decided by: where a later step decided them, that step's.
    """
    by_key = _by_key(checks)
    records = dict(known)
    left = [key for key, mine in by_key.items() if not all(decides(check, records[key]) for check in mine)]
    while left and len(left) < len(by_key):
        again = {key: _compare(key, by_key[key], trials, len(left)) for key in left}
        newly = [key for key in left if all(decides(check, again[key]) for check in by_key[key])]
        if not newly:
            break
        records.update({key: again[key] for key in newly})
        left = [key for key in left if key not in newly]
    return records
