"""What the whole run came to, and the one sentence that answers its question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.analysis.words import change, change_spread, counted, metric_words, number, quantity, scale_of
from runner.results.document.run import Verdict
from runner.spec.metrics import PHASES, Metric, Unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.results.document.checks import CheckRecord, ComparisonRecord
    from runner.results.document.figures import Figures
    from runner.results.document.variant import VariantRecord
    from runner.spec.checks import Check

_MOSTLY = 0.5
"""A variant of which more than this share failed has to have a check that speaks of failures ..."""
_ABOUT_ERRORS = {"error_rate", "errors", "status", "outcome", "proxy", "promql", "capacity"}
"""... by one of these metrics."""
_OUTCOME_SHIFT = 0.05
"""A label is worth naming in the headline when its share moved by more than this."""


def verdict(
    checks: Sequence[CheckRecord], *, error: str | None = None, aborted: str | None = None, unproven: str | None = None
) -> tuple[Verdict, str]:
    """The verdict of a run and its reason: error > aborted > fail > inconclusive > pass.

    Args:
        checks: the decided checks; none means that nothing was asserted.
        error: what the mesh, the driver or a disk could not do, when that ended the run.
        aborted: what stopped the run early (a guardrail), when something did.
        unproven: why the run may not pass although every check held (see `unproven`), if there is a reason.
    """
    if error is not None:
        return Verdict.ERROR, error
    if aborted is not None:
        return Verdict.ABORTED, aborted
    if not checks:
        return Verdict.INCONCLUSIVE, "The run measured and asserted nothing: the experiment has no checks."
    total = counted(len(checks), "check")
    for outcome, word, result in (
        ("failed", "failed", Verdict.FAIL),
        ("inconclusive", "could not be decided", Verdict.INCONCLUSIVE),
    ):
        found = [check for check in checks if check.outcome == outcome]
        if found:
            first = found[0]
            more = f"{len(found)} of {total} {word}, first" if len(found) > 1 else f"1 of {total} {word}:"
            return result, f"{more} `{first.check}` (observed: {first.observed}). {first.reason}"
    if unproven is not None:
        return Verdict.INCONCLUSIVE, f"Every check held, but {unproven}"
    return Verdict.PASS, f"All {total} held." if len(checks) > 1 else "The one check held."


def unproven(variants: Sequence[VariantRecord], checks: Sequence[Check], invalid: Mapping[str, str]) -> str | None:
    """Why checks that all held prove nothing: a variant that never counted, or one that did nothing but fail unasked.

    Args:
        variants: with their merged figures.
        checks: the run's.
        invalid: by variant without a trial that counts, why that is.
    """
    for variant in variants:
        if variant.name in invalid:
            return f"{invalid[variant.name]}."
        asked = {
            metric.name
            for check in checks
            if variant.name in {check.variant, check.baseline}
            for metric in (check.metric, check.operand)
            if isinstance(metric, Metric)
        }
        if asked and variant.error_rate > _MOSTLY and not asked & _ABOUT_ERRORS:
            share = quantity(variant.error_rate, Unit.SHARE)
            return (
                f"{share} of the requests of {variant.name} failed, and no check says that they may: add one on error_rate, "
                "status or outcome."
            )
    return None


def _compared(record: ComparisonRecord, variant: VariantRecord, baseline: VariantRecord) -> str:
    """`median response 49 % lower (47 to 51 %)`; two values where the difference was not decided."""
    metric = metric_of(record)
    name = metric_words(metric)
    scale = scale_of(metric)
    if metric.name == "error_rate" and variant.errors == baseline.errors == 0:
        return f"{name} unchanged at 0 %"
    if record.estimate is not None and record.low is not None and record.high is not None:
        span = change_spread(record.low, record.high, scale)
        if record.outcome == "equivalent":
            return f"{name} equivalent ({change_spread(record.low, record.high, scale, directed=True)})"
        undecided = ", not decided" if record.outcome == "inconclusive" else ""
        return f"{name} {change(record.estimate, scale)} ({span}{undecided})"
    ours, theirs = (_figure(metric, figures) for figures in (variant, baseline))
    return f"{name} {ours} against {theirs} (not decided)"


def metric_of(record: ComparisonRecord) -> Metric:
    """The metric that a comparison is about."""
    text, phase = record.metric, None
    head, at, tail = text.rpartition("@")
    if at and tail in PHASES and ("[" not in head or head.endswith("]")):
        text, phase = head, tail
    name, bracket, rest = text.partition("[")
    return Metric(name, rest[:-1] if bracket else None, request=record.request, phase=phase)


def _figure(metric: Metric, variant: VariantRecord) -> str:
    if not metric.needs_phases:
        return _figure_of(metric, variant.by_name.get(metric.request, variant) if metric.request else variant)
    parts = variant.phases.parts if variant.phases and metric.request is None else []
    part = next((part for part in parts if part.name == metric.phase), None)
    return _figure_of(metric, part) if part else "not known"


def _figure_of(metric: Metric, figures: Figures) -> str:
    if metric.name == "error_rate":
        return quantity(figures.error_rate, Unit.SHARE)
    if metric.is_latency:
        value = figures.latency_ms.model_dump().get(metric.name)
        return quantity(value, Unit.MILLISECONDS) if value is not None else "none answered"
    if metric.name == "rate":
        return quantity(figures.rate, Unit.RATE)
    counts = {"requests": figures.requests, "errors": figures.errors, "dropped": figures.dropped}
    if metric.name in counts:
        return str(counts[metric.name])
    of = {"status": figures.status, "outcome": figures.outcomes}.get(metric.name)
    if of is None or not figures.requests:
        return "not known"
    return quantity(of.get(metric.argument or "", 0) / figures.requests, Unit.SHARE)


def _labels(variant: VariantRecord, baseline: VariantRecord | None, checks: Sequence[Check]) -> list[str]:
    """The labels worth naming: those that a check asks about, and those whose share moved."""
    if not variant.requests:
        return []
    asked = {
        metric.argument
        for check in checks
        if check.variant == variant.name
        for metric in (check.metric, check.operand)
        if isinstance(metric, Metric) and metric.name == "outcome"
    }
    found = []
    before_labels = baseline.outcomes if baseline else {}
    for label in sorted({*variant.outcomes, *before_labels, *(label for label in asked if label)}):
        share = variant.outcomes.get(label, 0) / variant.requests
        before = before_labels.get(label, 0) / baseline.requests if baseline and baseline.requests else 0.0
        moved = abs(share - before) > _OUTCOME_SHIFT
        if (baseline is None and label in asked) or moved:
            was = f" (baseline {quantity(before, Unit.SHARE)})" if baseline and moved else ""
            text = f"{quantity(share, Unit.SHARE)} of responses showed `{label}`{was}"
            found.append((share <= before, -abs(share - before), text))
    return [text for *_, text in sorted(found)]


def _by_request_name(variant: VariantRecord, baseline: VariantRecord) -> list[str]:
    """``median of `/cart` 6.0 s against 12 ms`` for each name, where several names were requested."""
    names = [name for name in variant.by_name if name in baseline.by_name]
    texts = []
    for name in names if len(names) > 1 else []:
        ours, theirs = variant.by_name[name].latency_ms.p50, baseline.by_name[name].latency_ms.p50
        if ours is not None and theirs is not None:
            ours_text, theirs_text = (quantity(value, Unit.MILLISECONDS) for value in (ours, theirs))
            texts.append(f"median of `{name}` {ours_text} against {theirs_text}")
    return texts


def headline(
    variants: Sequence[VariantRecord], comparisons: Sequence[ComparisonRecord], checks: Sequence[Check] = ()
) -> str:
    """The answer in one sentence with its numbers.

    Args:
        variants: in order, the baseline first.
        comparisons: of the run; those that gate come first, then the median and the error rate.
        checks: of the run, for what they ask about.
    """
    if not variants:
        return "Nothing was measured."
    baseline, *others = variants
    if not others:
        return _alone(baseline, checks)
    parts = []
    for variant in others:
        loops = (loop_words(variant) if variant.closed_loop is not baseline.closed_loop else "", loop_words(baseline))
        if not variant.requests or not baseline.requests:
            loops = ("", "")
        against = f"{variant.name}{loops[0]} against {baseline.name}{loops[1]}"
        parts.append(f"{against}: {', '.join(phrases(variant, baseline, comparisons, checks))}")
    return "; ".join(parts) + "."


def phrases(
    variant: VariantRecord,
    baseline: VariantRecord,
    comparisons: Sequence[ComparisonRecord],
    checks: Sequence[Check] = (),
    *,
    shares_first: bool = False,
) -> list[str]:
    """What a variant changed, a phrase for each metric.

    Args:
        variant: the variant.
        baseline: what it is held against.
        comparisons: of the run.
        checks: of the run, for what they ask about.
        shares_first: whether what responses showed comes before what no check rests on, and a label that went is left out where
            another one came in its place.
    """
    if not variant.requests or not baseline.requests:
        lacking = baseline if not baseline.requests else variant
        return [f"not compared, {lacking.name} has no valid trial with requests"]
    mine = [r for r in comparisons if r.variant == variant.name and r.baseline == baseline.name]
    gating = [r for r in mine if r.gating]
    by_name = _by_request_name(variant, baseline)
    described = {"error_rate"} if by_name else {"p50", "error_rate"}
    others = [r for r in mine if r.metric in described and r.request is None and r not in gating]
    if variant.closed_loop != baseline.closed_loop:
        by_name = ["latencies not compared, as one is an open loop and the other a closed one"]
        gating, others = ([r for r in part if not metric_of(r).is_latency] for part in (gating, others))
    asked, described_too = ([_compared(record, variant, baseline) for record in part] for part in (gating, others))
    labels = _labels(variant, baseline, checks)
    if not shares_first:
        return [*by_name, *asked, *described_too, *labels]
    came = [text for text in labels if not text.startswith("0 % ")]
    return [*asked, *(came or labels), *by_name, *described_too]


def _alone(variant: VariantRecord, checks: Sequence[Check]) -> str:
    """The headline of a run with one variant."""
    if not variant.requests:
        return f"{variant.name}: no valid trial with requests."
    return f"{variant.name}{loop_words(variant)}: " + ", ".join(alone(variant) + _labels(variant, None, checks)) + "."


def alone(variant: VariantRecord) -> list[str]:
    """What a variant is by itself, a phrase for each figure."""
    if not variant.requests:
        return ["no valid trial with requests"]
    texts = [f"{number(variant.rate)} requests/s"]
    if variant.latency_ms.p50 is not None:
        texts.append(f"median response {quantity(variant.latency_ms.p50, Unit.MILLISECONDS)}")
    if variant.latency_ms.p95 is not None:
        texts.append(f"p95 {quantity(variant.latency_ms.p95, Unit.MILLISECONDS)}")
    return [*texts, f"error rate {quantity(variant.error_rate, Unit.SHARE)}"]


def loop_words(variant: VariantRecord) -> str:
    """A closed loop's latencies say so wherever they stand."""
    return " (closed loop)" if variant.closed_loop else ""
