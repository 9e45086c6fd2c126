"""What the charts draw, thinned so that its size follows from the number of trials, never from that of requests."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from runner.report import marks, words
from runner.results.histogram import Histogram, bucket_width

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.report.limits import Limits
    from runner.results.document.run import RunDocument
    from runner.results.document.trial import TrialRecord
    from runner.results.trial import TrialFile
    from runner.results.window import Cell, Second

TrialKey = tuple[str, int, int]
"""Variant, block and attempt, which name a trial."""

_LOWEST = 0.01
_HIGHEST = 0.9999


@dataclass(frozen=True, slots=True)
class Charts:
    """The charts' data.

    Attributes:
        data: JSON, safe inside a script tag.
        step: seconds that one point of the time series covers.
        drawn: trials in the latency distribution (the valid ones).
        left_out: trials that are only in the time series because they do not count.
    """

    data: Markup
    step: int
    drawn: int
    left_out: int


def charts(document: RunDocument, trials: Sequence[TrialFile], limits: Limits) -> Charts | None:
    """The data of all charts; None when the run folder holds no per-second data."""
    ordered = sorted((trial for trial in trials if trial.window.seconds), key=lambda trial: trial.window.started)
    if not ordered:
        return None
    places = {variant.name: place for place, variant in enumerate(document.variants)}
    records = {
        (variant.name, trial.block, trial.attempt): trial for variant in document.variants for trial in variant.trials
    }
    step = max(1, math.ceil(sum(len(trial.window.seconds) for trial in ordered) / limits.steps))
    counting = [trial for trial in ordered if _counts(records.get(key(trial)))]
    known = [name for name in places if any(trial.variant == name for trial in ordered)]
    data = {
        "variants": [{"name": name, "place": places[name], "dash": marks.series(places[name]).dash} for name in known],
        "curves": _curves(known, counting, limits),
        "trials": [_series(trial, known, records, step) for trial in ordered if trial.variant in places],
        "step": step,
    }
    return Charts(script_json(data), step, len(counting), len(ordered) - len(counting))


def key(trial: TrialFile) -> TrialKey:
    """What names a trial."""
    return trial.variant, trial.block, trial.attempt


def script_json(data: Mapping[str, Any]) -> Markup:
    """Compact JSON that can stand inside a script tag whatever names it holds."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)  # noqa: S704 - every character that could end the script tag was escaped above


def grid(points: int, requests: int) -> list[float]:
    """Shares of requests at which curves are drawn, close together at both ends.

    Args:
        points: how many there may be.
        requests: of the largest trial: no share is given beyond the last one that a request stands for.
    """
    last = min(_HIGHEST, max(0.5, 1 - 1 / max(2, requests)))
    low, high = _logit(_LOWEST), _logit(last)
    marked = [share for share in (0.5, 0.75, 0.9, 0.95, 0.99, 0.999) if share <= last]
    even = [_logistic(low + (high - low) * number / (points - 1)) for number in range(points)]
    return sorted({round(share, 5) for share in (*even, *marked)})


def quantiles(histogram: Histogram, shares: Sequence[float]) -> list[float | None]:
    """Many quantiles of one histogram in one pass, in ms.

    Args:
        histogram: durations.
        shares: ascending, 0 to 1; None comes where fewer than one request lies beyond the share.
    """
    found: list[float | None] = []
    buckets = iter(sorted(histogram.counts))
    lower, seen = 0, 0
    for share in shares:
        if histogram.count * (1 - share) < 1 - 1e-9:
            found.append(None)
            continue
        rank = max(1, math.ceil(histogram.count * share))
        while seen < rank:
            lower = next(buckets)
            seen += histogram.counts[lower]
        middle = lower + (bucket_width(lower) - 1) / 2
        found.append(_short(min(max(middle, histogram.least), histogram.greatest) / 1000))
    return found


def _counts(record: TrialRecord | None) -> bool:
    return record is not None and record.valid and not record.superseded


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def _short(value: float) -> float:
    """Four significant digits, whole numbers without a point."""
    rounded = float(f"{value:.4g}")
    return int(rounded) if rounded.is_integer() else rounded


def _response(seconds: Iterable[Second]) -> Histogram:
    return Histogram.merged(cell.response for cell in _cells(seconds))


def _cells(seconds: Iterable[Second]) -> Iterable[Cell]:
    return (cell for second in seconds for by_status in second.cells.values() for cell in by_status.values())


def _curves(known: Sequence[str], trials: Sequence[TrialFile], limits: Limits) -> dict[str, Any]:
    whole = {name: Histogram() for name in known}
    each = []
    for trial in trials:
        if trial.variant in whole:
            histogram = _response(trial.window.seconds)
            whole[trial.variant].add(histogram)
            each.append((trial, histogram))
    shares = grid(limits.curve_points, max((histogram.count for histogram in whole.values()), default=0))
    return {
        "shares": shares,
        "whole": [quantiles(whole[name], shares) for name in known],
        "blocks": [
            {"v": known.index(trial.variant), "b": trial.block, "y": _trimmed(quantiles(histogram, shares))}
            for trial, histogram in each
        ],
    }


def _trimmed(values: list[float | None]) -> list[float | None]:
    """Without the Nones at its end, which the page fills in again."""
    while values and values[-1] is None:
        values = values[:-1]
    return values


def _series(
    trial: TrialFile, known: Sequence[str], records: Mapping[TrialKey, TrialRecord], step: int
) -> dict[str, Any]:
    record = records.get(key(trial))
    rates: list[float] = []
    errors: list[float] = []
    p50: list[float | None] = []
    p95: list[float | None] = []
    seconds = trial.window.seconds
    for start in range(0, len(seconds), step):
        part = seconds[start : start + step]
        requests = sum(cell.requests for cell in _cells(part))
        covered = min(float(start + len(part)), trial.window.length) - start
        length = covered if covered > 0 else len(part)
        rates.append(_short(requests / length))
        errors.append(_short(sum(cell.errors for cell in _cells(part)) / length))
        histogram = _response(part)
        p50.append(_short((histogram.quantile(0.5) or 0) / 1000) if histogram.count else None)
        p95.append(_short((histogram.quantile(0.95) or 0) / 1000) if histogram.count else None)
    switched = record.phases if record else None
    return {
        **({"on": [switched.on.confirmed, switched.off.requested]} if switched and switched.off else {}),
        "v": known.index(trial.variant),
        "b": trial.block,
        "a": trial.attempt,
        "at": words.clock(record.started) if record else "",
        "why": _why(record),
        "rate": rates,
        "err": errors if any(errors) else 0,
        "p50": p50,
        "p95": p95,
    }


def _why(record: TrialRecord | None) -> str:
    """Why a trial does not count; empty when it does."""
    if record is None:
        return "not finished"
    reasons = words.listing([marks.INVALID[code] for code in record.invalid_because])
    if record.superseded:
        return "ran again" + (f": {reasons}" if reasons else "")
    return "" if record.valid else reasons or "invalid"
