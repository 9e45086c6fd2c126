"""Whether the response held still over a window: no drift, and no start that was still settling.

Where a trend is seen in few data, a test decides; what is too short to judge is a remark, never a silent pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from runner.analysis.frames import response_of
from runner.analysis.words import number
from runner.results.document.trial import Invalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from runner.analysis.validity_types import Validity
    from runner.results.window import Window


CHANGE = 0.10
"""A drift, or an unsteady start, matters from this relative change on ..."""
CHANGE_MS = 0.5
"""... and from this many milliseconds on."""
SECONDS_FOR_DRIFT = 10
SECONDS_FOR_STEADY = 20
_TAIL = 5
"""Points at the end where MSER's variance rests on too few points to be trusted (White 1997)."""


def second_medians(window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offsets (s) and median responses (ms) of the seconds with answers."""
    medians = [(second.offset, response_of(second).quantile(0.5)) for second in window.seconds]
    kept = [(offset, median / 1000) for offset, median in medians if median is not None]
    table = np.array(kept, dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def judge_trend(window: Window, found: Validity) -> None:
    """Drift and steadiness of a window, as far as it is long enough for them to be judged."""
    offsets, medians = second_medians(window)
    if len(medians) < SECONDS_FOR_DRIFT:
        found.remarks.append(
            f"drift was not judged: it takes {SECONDS_FOR_DRIFT} seconds with answers, and there were {len(medians)}"
        )
    else:
        _drift(offsets, medians, found)
    if len(medians) < SECONDS_FOR_STEADY:
        found.remarks.append(
            f"steadiness was not judged: it takes {SECONDS_FOR_STEADY} seconds with answers, "
            f"and there were {len(medians)}"
        )
    else:
        _steady(medians, found)


def _matters(change: float, level: float) -> bool:
    return abs(change) >= CHANGE_MS and abs(change) > CHANGE * level


def _drift(offsets: NDArray[np.float64], medians: NDArray[np.float64], found: Validity) -> None:
    """A trend over the whole trial: Theil-Sen slope (Sen 1968) of the per-second medians."""
    slope, _, low, high = stats.theilslopes(medians, offsets, alpha=0.95)
    change, level = float(slope) * float(offsets[-1] - offsets[0] + 1), float(np.median(medians))
    if _matters(change, level) and (low > 0 or high < 0):
        found.add(
            Invalid.DRIFT,
            f"the median response drifted by {number(change)} ms over the trial "
            f"({100 * change / level:+.0f} % of {number(level)} ms; {CHANGE:.0%} may)",
        )


def mser_cut(values: NDArray[np.float64]) -> int:
    """How many first values to cut so that the mean of the rest is known best (White 1997).

    The d that makes sum (y_i - mean)² / (n - d)² over i > d least. The last five are never judged alone: a handful of
    close values would look steadier than they are.
    """
    n = len(values)
    spreads = [
        float(np.sum((values[d:] - values[d:].mean()) ** 2)) / (n - d) ** 2 for d in range(max(1, n - _TAIL + 1))
    ]
    return int(np.argmin(spreads))


def _steady(medians: NDArray[np.float64], found: Validity) -> None:
    cut = mser_cut(medians)
    if cut <= len(medians) / 2:
        return
    before, after = float(medians[:cut].mean()), float(medians[cut:].mean())
    if _matters(before - after, after):
        detail = (
            f"the response settled only after {cut} of {len(medians)} seconds, "
            f"from {number(before)} ms to {number(after)} ms: a longer warmup is needed"
        )
        found.add(Invalid.NOT_STEADY, detail)
