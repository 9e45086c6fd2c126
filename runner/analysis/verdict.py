"""What the whole run came to, and the one sentence that answers its question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.analysis.compare import scale_of
from runner.analysis.words import change, change_spread, counted, metric_words, number, quantity
from runner.results.document import Verdict
from runner.spec.checks import Metric, Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.results.document import CheckRecord, ComparisonRecord, VariantRecord
    from runner.spec.checks import Check

_OUTCOME_SHIFT = 0.05
"""A label is worth naming in the headline when its share moved by more than this."""


def verdict(
    checks: Sequence[CheckRecord], *, error: str | None = None, aborted: str | None = None
) -> tuple[Verdict, str]:
    """The verdict of a run and its reason: error > aborted > fail > inconclusive > pass.

    Args:
        checks: the decided checks; none means that nothing was asserted.
        error: what the mesh, the driver or a disk could not do, when that ended the run.
        aborted: what stopped the run early (a guardrail), when something did.
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
    return Verdict.PASS, f"All {total} held." if len(checks) > 1 else "The one check held."


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
    name, bracket, rest = record.metric.partition("[")
    return Metric(name, rest[:-1] if bracket else None, request=record.request)


def _figure(metric: Metric, variant: VariantRecord) -> str:
    figures = variant.by_name.get(metric.request, variant) if metric.request is not None else variant
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
        if not variant.requests or not baseline.requests:
            lacking = baseline if not baseline.requests else variant
            parts.append(
                f"{variant.name} against {baseline.name}: not compared, {lacking.name} has no valid trial with requests"
            )
            continue
        mine = [r for r in comparisons if r.variant == variant.name and r.baseline == baseline.name]
        chosen = [r for r in mine if r.gating]
        by_name = _by_request_name(variant, baseline)
        described = {"error_rate"} if by_name else {"p50", "error_rate"}
        chosen += [r for r in mine if r.metric in described and r.request is None and r not in chosen]
        texts = by_name + [_compared(record, variant, baseline) for record in chosen]
        parts.append(
            f"{variant.name} against {baseline.name}{_loop(variant, baseline)}: "
            + ", ".join(texts + _labels(variant, baseline, checks))
        )
    return "; ".join(parts) + "."


def _alone(variant: VariantRecord, checks: Sequence[Check]) -> str:
    """The headline of a run with one variant."""
    if not variant.requests:
        return f"{variant.name}: no valid trial with requests."
    texts = [f"{number(variant.rate)} requests/s"]
    if variant.latency_ms.p50 is not None:
        texts.append(f"median response {quantity(variant.latency_ms.p50, Unit.MILLISECONDS)}")
    if variant.latency_ms.p95 is not None:
        texts.append(f"p95 {quantity(variant.latency_ms.p95, Unit.MILLISECONDS)}")
    texts.append(f"error rate {quantity(variant.error_rate, Unit.SHARE)}")
    return f"{variant.name}{_loop(variant)}: " + ", ".join(texts + _labels(variant, None, checks)) + "."


def _loop(*variants: VariantRecord) -> str:
    """A closed loop's latencies say so wherever they stand."""
    return " (closed loop)" if any(variant.closed_loop for variant in variants) else ""
