"""One metric of two variants, paired by block: estimate, interval, verdict word, and a sentence for any reader."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from runner.analysis.advice import more_blocks
from runner.analysis.evidence import paired
from runner.analysis.intervals import clopper_pearson
from runner.analysis.measure import measure
from runner.analysis.shares import count_of, total_of
from runner.analysis.signed_rank import ALPHA, blocks_to_decide, hodges_lehmann, p_value, shift_interval
from runner.analysis.words import Scale, change, change_spread, counted, margin_words, metric_words, scale_of
from runner.results.document.checks import ComparisonRecord
from runner.spec.checks import blocks_needed
from runner.spec.comparable import requests_needed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.analysis.evidence import TrialEvidence
    from runner.spec.metrics import Metric

Outcome = Literal["better", "worse", "different", "equivalent", "inconclusive"]

MARGIN = 0.10
"""A relative change below this does not matter, unless the check says otherwise."""
MARGIN_MS = 0.5
"""Nor does a change of a latency below this many milliseconds."""
MARGIN_SHARE = 0.01
"""Nor does a change of a share below one percentage point."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """One difference per block.

    Attributes:
        differences: ln(variant / baseline) on the relative scale, else variant - baseline.
        scale: what they are given in.
        typical: the baseline's middle value (ms for latency).
        floor: for shares, the narrowest interval that counts this small allow.
        missing: why there are none.
    """

    differences: tuple[float, ...] = ()
    scale: Scale = Scale.RELATIVE
    typical: float = 0.0
    floor: tuple[float, float] | None = None
    missing: str = ""

    def shown(self, value: float) -> float:
        """A difference in the unit of the record: relative change, difference of shares, or ms."""
        return math.expm1(value) if self.scale is Scale.RELATIVE else value

    def inner(self, shown: float) -> float:
        """The difference that a value in the unit of the record means."""
        if self.scale is not Scale.RELATIVE:
            return shown
        return math.log1p(shown) if shown > -1 else -math.inf


def difference(
    metric: Metric,
    variant: str,
    baseline: str,
    trials: Sequence[TrialEvidence],
    alpha: float = ALPHA,
    scale: Scale | None = None,
) -> Pairs:
    """The differences by block, over the blocks in which both variants' trials count."""
    scale = scale or scale_of(metric)
    both, missing = _pairs(metric, variant, baseline, trials)
    if missing:
        return Pairs(scale=scale, missing=missing)
    metric = replace(metric, phase=None)
    if metric.is_latency:
        least = min(trial.tally(metric.request).response.count for pair in both for trial in pair)
        needed = requests_needed(metric)
        if least < needed and (metric.quantile is not None or least == 0):
            return Pairs(
                scale=scale,
                missing=f"{metric.name} needs {counted(needed, 'answered request')} in every trial, "
                f"and one had {least}: {_longer(both, least, needed)}",
            )
    values: list[tuple[float, float]] = []
    for pair in both:
        ours, theirs = (measure(metric, [trial], as_share=scale is Scale.POINTS, interval=False) for trial in pair)
        if ours.value is None or theirs.value is None:
            who, lacking = (variant, ours) if ours.value is None else (baseline, theirs)
            return Pairs(scale=scale, missing=f"{who}: {lacking.missing}")
        values.append((ours.value, theirs.value))
    typical = sorted(b for _, b in values)[len(values) // 2]
    if scale is not Scale.RELATIVE:
        floor = _floor(metric, both, alpha) if scale is Scale.POINTS else None
        return Pairs(tuple(a - b for a, b in values), scale=scale, typical=typical, floor=floor)
    if any((a > 0) != (b > 0) or a < 0 for a, b in values):
        return Pairs(missing="one side is zero where the other is not, so there is no relative change")
    return Pairs(tuple(math.log(a / b) if a > 0 else 0.0 for a, b in values), typical=typical)


def _pairs(
    metric: Metric, variant: str, baseline: str, trials: Sequence[TrialEvidence]
) -> tuple[list[tuple[TrialEvidence, TrialEvidence]], str]:
    """What a metric is measured in, by block: trials, or their parts in one phase; or why there is nothing."""
    both = paired(trials, variant, baseline)
    if not both:
        return [], f"no block has a valid trial of both {variant} and {baseline}"
    if metric.is_latency and len({trial.window.open_loop for pair in both for trial in pair}) > 1:
        return [], (
            "one is an open loop, where latency counts from the moment a request was due, and the other a closed one, "
            "where it counts from its sending"
        )
    parts = [(one, other) for a, b in both if (one := a.of(metric)) and (other := b.of(metric))]
    if len(parts) < len(both):
        return [], f"not every trial of both has the phase `{metric.phase}`"
    return parts, ""


def _longer(both: Sequence[tuple[TrialEvidence, TrialEvidence]], least: int, needed: int) -> str:
    """How long trials would have to be."""
    if not least:
        return "more blocks would not help"
    seconds = max(trial.window.length for pair in both for trial in pair) * needed / least
    return f"more blocks would not help, trials of {math.ceil(seconds)} s at this rate would"


def _floor(
    metric: Metric, both: Sequence[tuple[TrialEvidence, TrialEvidence]], alpha: float
) -> tuple[float, float] | None:
    """The binomial interval of a difference of shares, from all requests (Newcombe 1998, with Clopper-Pearson limits).

    Without it, no errors in twice sixty requests would read as "exactly the same".
    """
    ends = []
    for side in (0, 1):
        tallies = [pair[side].tally(metric.request) for pair in both]
        k, n = sum(count_of(metric, tally) for tally in tallies), sum(total_of(metric, tally) for tally in tallies)
        if not n:
            return None
        low, high = clopper_pearson(k, n, 1 - alpha)
        ends.append((k / n, float(low), float(high)))
    (ours, our_low, our_high), (theirs, their_low, their_high) = ends
    middle = ours - theirs
    return (
        middle - math.hypot(ours - our_low, their_high - theirs),
        middle + math.hypot(our_high - ours, theirs - their_low),
    )


def margins(metric: Metric, pairs: Pairs, margin: float | None) -> tuple[float, float, float]:
    """The size below which a difference does not matter.

    Returns:
        Its lower and upper end in the unit of the differences, and the size for the record (relative, or a difference
        of shares).
    """
    if margin is not None:
        return pairs.inner(-margin), pairs.inner(margin), margin
    if pairs.scale is not Scale.RELATIVE:
        size = MARGIN_SHARE if pairs.scale is Scale.POINTS else max(MARGIN_MS, MARGIN * pairs.typical)
        return -size, size, size
    low, high = -math.log1p(MARGIN), math.log1p(MARGIN)
    if metric.is_latency and pairs.typical > 0:
        part = MARGIN_MS / pairs.typical
        low, high = min(low, pairs.inner(-part)), max(high, pairs.inner(part))
    return low, high, math.expm1(high)


def word(metric: Metric, estimate: float, interval: tuple[float, float], ends: tuple[float, float]) -> Outcome:
    """The verdict word, in the order that keeps a harmless shift from being called a difference."""
    low, high = interval
    if ends[0] <= low and high <= ends[1]:
        return "equivalent"
    if low <= 0 <= high:
        return "inconclusive"
    lower_is_better = metric.is_latency or metric.name in {"errors", "error_rate", "dropped", "time_to_recover"}
    if ends[0] < estimate < ends[1] or not (lower_is_better or metric.name == "capacity"):
        return "different"
    return "better" if (estimate < 0) is lower_is_better else "worse"


def compare(
    metric: Metric,
    variant: str,
    baseline: str,
    trials: Sequence[TrialEvidence],
    *,
    tests: int = 1,
    gating: bool = False,
    margin: float | None = None,
    scale: Scale | None = None,
) -> ComparisonRecord:
    """Compare a metric of a variant with the baseline's, by the paired signed-rank method.

    Args:
        metric: what to compare. Latency, rate and counts differ relatively; `error_rate`, `status[..]` and
            `outcome[..]` as shares.
        variant: its name.
        baseline: the other's name.
        trials: all trials of the run; those that don't count are left out here.
        tests: how many comparisons the run's checks decide by; the interval's level is 1 - 0.05 / tests (Bonferroni),
            so that all of them hold together at 95 %, at the price of more blocks (6 for one, 7 for up to three, 8
            for up to six).
        gating: whether a check decides by this comparison.
        margin: relative change (share: difference) below which nothing matters; by default 10 % and 0.5 ms (1 point).
        scale: of the differences, when not the metric's own (`Scale.MILLISECONDS` for a latency).

    Returns:
        The record; `low` and `high` are None where no verdict is possible, and the sentence says why.
    """
    alpha = ALPHA / tests
    record = ComparisonRecord(
        metric=_key(metric),
        variant=variant,
        baseline=baseline,
        request=metric.request,
        gating=gating,
        confidence=1 - alpha,
    )
    pairs = difference(metric, variant, baseline, trials, alpha, scale)
    blocks = len(pairs.differences)
    record.blocks = blocks
    name = metric_words(metric)
    if pairs.missing:
        record.sentence = f"The {name} of {variant} can't be compared with that of {baseline}: {pairs.missing}."
        return record
    theta = hodges_lehmann(pairs.differences)
    low_end, high_end, record.margin = margins(metric, pairs, margin)
    record.estimate = pairs.shown(theta)
    record.differences = [pairs.shown(d) for d in pairs.differences]
    record.p_value = p_value(pairs.differences)
    required = blocks_needed(tests, ALPHA)
    interval = shift_interval(pairs.differences, alpha)
    if interval is None:
        record.blocks_needed = _blocks_needed(pairs, min(-low_end, high_end), required, alpha)
        shared = f" for {tests} comparisons together" if tests > 1 else ""
        record.sentence = (
            f"{_against(record, name, pairs.scale)}, but a verdict{shared} takes at least "
            f"{counted(required, 'block')} and there {'was' if blocks == 1 else 'were'} {blocks}; "
            f"{more_blocks(blocks, record.blocks_needed, 'would do')}."
        )
        return record
    if pairs.floor:
        interval = min(interval[0], pairs.floor[0]), max(interval[1], pairs.floor[1])
    record.low, record.high = pairs.shown(interval[0]), pairs.shown(interval[1])
    record.outcome = word(metric, theta, interval, (low_end, high_end))
    if record.outcome == "inconclusive":
        record.blocks_needed = _blocks_needed(pairs, min(-low_end, high_end), required, alpha)
    record.sentence = sentence(record, name, pairs.scale)
    return record


def _key(metric: Metric) -> str:
    """The metric's name in the record: with its argument and phase, without the request, which has a field of its own."""
    return str(replace(metric, request=None))


def _blocks_needed(pairs: Pairs, distance: float, least: int, alpha: float) -> int | None:
    """The blocks that would decide; where the counts are too small, as many more as would make them large enough."""
    needed = blocks_to_decide(pairs.differences, distance, least, alpha)
    if needed is None or pairs.floor is None:
        return needed
    half = (pairs.floor[1] - pairs.floor[0]) / 2
    return max(needed, math.ceil(len(pairs.differences) * half / distance))


def confident(record: ComparisonRecord) -> str:
    """`With 95 % confidence`, and for how many comparisons together."""
    tests = round(ALPHA / (1 - record.confidence))
    return "With 95 % confidence" + (f" (for {tests} comparisons together)" if tests > 1 else "")


def _against(record: ComparisonRecord, name: str, scale: Scale, span: str = "") -> str:
    """`The p95 was 5 % lower (3 to 7 %) with a than with b`."""
    moved = change(record.estimate or 0.0, scale)
    if moved == "unchanged":
        return f"The {name} was the same{span} with {record.variant} as with {record.baseline}"
    return f"The {name} was {moved}{span} with {record.variant} than with {record.baseline}"


def sentence(record: ComparisonRecord, name: str, scale: Scale) -> str:
    """What a comparison says, for a reader who knows no statistics."""
    if record.estimate is None or record.low is None or record.high is None:
        return record.sentence
    who, other = record.variant, record.baseline
    span = change_spread(record.low, record.high, scale)
    directed = change_spread(record.low, record.high, scale, directed=True)
    margin = margin_words(record.margin or 0.0, scale)
    if record.outcome == "equivalent":
        return (
            f"The {name} of {who} and {other} is the same for practical purposes: "
            f"the difference, {directed}, is within {margin}."
        )
    if record.outcome == "inconclusive":
        return (
            f"{counted(record.blocks, 'block')} can't tell whether the {name} of {who} differs from that of {other}: "
            f"it is {directed}, so that both a difference that matters and none are possible; "
            f"{more_blocks(record.blocks, record.blocks_needed)}."
        )
    text = _against(record, name, scale, span=f" ({span})")
    if record.outcome == "different" and abs(record.estimate) < (record.margin or 0.0):
        return f"{text}: a real difference, but smaller than the {margin} that matter."
    return f"{text}: {record.outcome}." if record.outcome != "different" else f"{text}."
