"""Tidy pandas frames over trials: what tables, charts and exports share, one row per trial, per second, per counter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from runner.analysis.figures import QUANTILES, figures_of
from runner.results.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.analysis.evidence import TrialEvidence
    from runner.results.window import Second

_TRIAL = ("variant", "block", "attempt")


def _who(trial: TrialEvidence) -> dict[str, object]:
    return {"variant": trial.variant, "block": trial.block, "attempt": trial.attempt}


def trials_frame(trials: Sequence[TrialEvidence]) -> pd.DataFrame:
    """One row per trial.

    Columns: `variant block attempt valid requests errors error_rate dropped rate p50_ms ... p99.9_ms mean_ms max_ms`.
    """
    columns = [*_TRIAL, "valid", "requests", "errors", "error_rate", "dropped", "rate"]
    columns += [f"{name}_ms" for name in (*QUANTILES, "mean", "max")]
    rows = []
    for trial in trials:
        figures = figures_of(trial.tally())
        latency = {f"{name}_ms": value for name, value in figures.latency_ms.model_dump(by_alias=True).items()}
        plain = figures.model_dump(include={"requests", "errors", "error_rate", "dropped", "rate"})
        rows.append({**_who(trial), "valid": trial.valid, **plain, **latency})
    return pd.DataFrame(rows, columns=columns)


def response_of(second: Second) -> Histogram:
    """All answered requests of one second."""
    return Histogram.merged(cell.response for by_status in second.cells.values() for cell in by_status.values())


def seconds_frame(trials: Sequence[TrialEvidence]) -> pd.DataFrame:
    """One row per trial and second.

    Columns: `variant block attempt offset requests errors dropped in_flight p50_ms p95_ms` (NaN without answers).
    """
    columns = [*_TRIAL, "offset", "requests", "errors", "dropped", "in_flight", "p50_ms", "p95_ms"]
    rows = []
    for trial in trials:
        for second in trial.window.seconds:
            cells = [cell for by_status in second.cells.values() for cell in by_status.values()]
            whole = response_of(second)
            p50, p95 = whole.quantile(0.5), whole.quantile(0.95)
            rows.append(
                {
                    **_who(trial),
                    "offset": second.offset,
                    "requests": sum(cell.requests for cell in cells),
                    "errors": sum(cell.errors for cell in cells),
                    "dropped": second.dropped,
                    "in_flight": second.in_flight,
                    "p50_ms": None if p50 is None else p50 / 1000,
                    "p95_ms": None if p95 is None else p95 / 1000,
                }
            )
    return pd.DataFrame(rows, columns=columns).astype({"p50_ms": float, "p95_ms": float})


def counters_frame(trials: Sequence[TrialEvidence]) -> pd.DataFrame:
    """One row per trial, workload and counter that moved: `variant block attempt workload stat increase`."""
    rows = [
        {**_who(trial), "workload": workload, "stat": stat, "increase": increase}
        for trial in trials
        for workload, stats in trial.increases.items()
        for stat, increase in stats.items()
        if increase
    ]
    return pd.DataFrame(rows, columns=[*_TRIAL, "workload", "stat", "increase"])
