"""A variant against itself (`--aa`): what difference this set-up can see, and whether it sees one where there is none.

The figure for each metric is half the width of its 95 % interval: a smaller difference stays hidden more often than not, and one
of 1.4 times that size is found 8 times in 10. The two sides are the same config, so a difference between them is a false alarm.
As many metrics are tested for one as the blocks can decide at 5 % together (6 blocks: one, 7: three, 8: six): those that the
experiment's own checks compare come first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.analysis.analyse import DESCRIBED, Analysis, variant_record
from runner.analysis.compare import compare
from runner.analysis.evidence import lost_blocks, paired
from runner.analysis.verdict import metric_of, verdict
from runner.analysis.words import change_spread, counted, listing, margin_words, metric_words, scale_of
from runner.results.document.run import Verdict
from runner.spec.checks import blocks_needed
from runner.spec.metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.analysis.evidence import TrialEvidence
    from runner.results.document.checks import ComparisonRecord

FIRST = ("p50", "error_rate")
"""Metrics that are looked at before the other described ones."""


def analyse_itself(
    names: tuple[str, str],
    trials: Sequence[TrialEvidence],
    asked: Sequence[Metric] = (),
    *,
    error: str | None = None,
    aborted: str | None = None,
) -> Analysis:
    """Analyse a run of one variant against itself.

    Args:
        names: of the variant, and of the same once more.
        trials: every trial, invalid and repeated ones too.
        asked: the metrics that the experiment's own checks compare.
        error: what failed from outside, when that ended the run.
        aborted: the guardrail that stopped the run, when one did.

    Returns:
        The analysis; it passes when no difference was found, and fails when one was.
    """
    name, again = names
    metrics = list(dict.fromkeys([*asked, *map(Metric, (*FIRST, *DESCRIBED))]))
    blocks = len(paired(trials, again, name))
    single = {metric: compare(metric, again, name, trials) for metric in metrics}
    comparable = [metric for metric, record in single.items() if record.estimate is not None]
    tests = _tests(blocks, len(comparable))
    tested = [compare(metric, again, name, trials, tests=tests, gating=True) for metric in comparable[:tests]]
    others = [record for metric, record in single.items() if metric not in comparable[:tests]]
    found = Analysis(
        variants=[variant_record(one, trials, baseline=one == name) for one in names],
        comparisons=[*tested, *others],
        resolution={
            str(metric): (record.high - record.low) / 2
            for metric, record in single.items()
            if record.low is not None and record.high is not None
        },
    )
    found.headline = _headline(name, found.resolution, {str(metric): metric for metric in metrics})
    if error is not None or aborted is not None:
        found.verdict, found.reason = verdict([], error=error, aborted=aborted)
    else:
        found.verdict, found.reason = _verdict(names, trials, tested, blocks)
    return found


def _tests(blocks: int, most: int) -> int:
    """How many comparisons so many blocks can decide together, up to `most`."""
    return max((tests for tests in range(1, most + 1) if blocks_needed(tests) <= blocks), default=0)


def _verdict(
    names: tuple[str, str], trials: Sequence[TrialEvidence], tested: Sequence[ComparisonRecord], blocks: int
) -> tuple[Verdict, str]:
    alarms = [record for record in tested if (record.low or 0.0) > 0 or (record.high or 0.0) < 0]
    if alarms:
        return Verdict.FAIL, (
            f"This set-up finds differences where there are none: {listing([_shown(record) for record in alarms])}. "
            "Chance alone does that in 1 of 20 such runs: run it again, and if it is so again, don't trust its comparisons."
        )
    lost = sorted({block for name in names for block in lost_blocks(trials, name)})
    if lost:
        which = f"block{'s' * (len(lost) > 1)} {listing([str(block) for block in lost])}"
        return (
            Verdict.INCONCLUSIVE,
            f"Not every trial is valid, even after {which} ran again, so this set-up is not proven.",
        )
    if not tested:
        least = blocks_needed(1)
        if blocks < least:
            return Verdict.INCONCLUSIVE, (
                f"{counted(blocks, 'block')} can't show whether the set-up differs from itself: it takes at least {least}."
            )
        return Verdict.INCONCLUSIVE, "Nothing was measured that could be compared."
    which = listing([str(metric_of(record)) for record in tested])
    return Verdict.PASS, f"The variant does not differ from itself (tested: {which}), as it should be."


def _shown(record: ComparisonRecord) -> str:
    """`p50 2 to 8 % higher the second time`."""
    metric = metric_of(record)
    span = change_spread(record.low or 0.0, record.high or 0.0, scale_of(metric), directed=True)
    return f"{metric} was {span} in {record.variant} than in {record.baseline}"


def _headline(name: str, resolution: dict[str, float], metrics: dict[str, Metric]) -> str:
    """`v1 against itself: this set-up can't see differences under 3 % of the median response, ...`."""
    if not resolution:
        return f"{name} against itself: too little was measured to tell what difference this set-up can see."
    parts = [
        f"{margin_words(_rounded(size), scale_of(metrics[text]))} of the {metric_words(metrics[text])}"
        for text, size in resolution.items()
    ]
    whole = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    blind = [text for text in metrics if text not in resolution]
    rest = f"; {listing(blind)} can't be compared at all" if blind else ""
    return f"{name} against itself: this set-up can't see differences under {whole}{rest}."


def _rounded(size: float) -> float:
    """Two significant digits, which is more than a half-width is known to."""
    return float(f"{size:.2g}")
