"""How much of a run the page shows, so that it stays under a megabyte whatever the run's size.

The page is first made with the widest limits; when it comes out too big it is made again with the next narrower ones.
What was left out is said where it was left out, and stays in the run folder.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_BYTES = 950_000
"""Size that a page may have, in bytes of UTF-8; under one megabyte with room for what a mail program adds."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that is shown.

    Attributes:
        curve_points: points of one latency curve.
        steps: points of all trials' time series together.
        counters: rows of the whole list of proxy counters.
        edges: rows of requests from workload to workload.
        log_lines: access-log lines of one variant.
        diff_lines: lines of all manifests and their diffs, each.
        line_length: characters of one line of a log or a manifest.
        names: request names in the table by name.
        trials: trials whose own figures and attestation are shown one by one.
    """

    curve_points: int = 60
    steps: int = 6000
    counters: int = 3000
    edges: int = 300
    log_lines: int = 12
    diff_lines: int = 2500
    line_length: int = 1000
    names: int = 60
    trials: int = 400


LEVELS = (
    Limits(),
    Limits(
        curve_points=45, steps=4000, counters=1200, edges=150, log_lines=8, diff_lines=1200, line_length=500, trials=250
    ),
    Limits(
        curve_points=30,
        steps=2000,
        counters=400,
        edges=60,
        log_lines=5,
        diff_lines=500,
        line_length=300,
        names=20,
        trials=120,
    ),
    Limits(
        curve_points=20,
        steps=800,
        counters=120,
        edges=30,
        log_lines=2,
        diff_lines=150,
        line_length=200,
        names=10,
        trials=40,
    ),
)
"""From the widest to the narrowest."""
