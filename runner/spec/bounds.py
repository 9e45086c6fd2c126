"""Bounds on what a run may ask for: a slip of a digit is told before it fills the memory or runs for a year.

They lie well beyond what one machine can generate or a person waits for; a longer test is several runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import Problem
from runner.units import format_rate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.spec.model import Load

MOST_BLOCKS = 1_000
MOST_USERS = 100_000
_DAY = 86_400.0
MOST_SECONDS = 7 * _DAY
"""Of one window of load."""
MOST_RATE = 100_000.0
"""Arrivals per second; Locust makes some thousands of requests per second and core."""
MOST_ARRIVALS = 20_000_000
"""Of one window; their due moments are made before it begins."""


def too_many_blocks(blocks: int) -> Problem | None:
    """The problem with that many blocks, if there is one; its place is the caller's to know."""
    if blocks <= MOST_BLOCKS:
        return None
    return Problem(f"{blocks} blocks are too many", expected=f"at most {MOST_BLOCKS}")


def too_much(load: Load) -> Iterator[tuple[tuple[str, ...], Problem]]:
    """What is too much in a load: the way to it, and the problem without its place."""
    for key, seconds in (("warmup", load.warmup), ("duration", load.duration)):
        if seconds > MOST_SECONDS:
            yield (key,), Problem(f"a {key} of {seconds / _DAY:.0f} days is too long", expected="at most 7 days (168h)")
    if load.users is not None and load.users > MOST_USERS:
        yield ("users",), Problem(f"{load.users} users are too many for one machine", expected=f"at most {MOST_USERS}")
    if load.arrivals is None:
        return
    stages = load.arrivals.stages
    peak = max(stage.rate for stage in stages) if stages else load.arrivals.rate or 0.0
    loc = ("arrivals", "stages" if stages else "rate")
    if peak > MOST_RATE:
        most = f"at most {format_rate(MOST_RATE)}"
        yield loc, Problem(f"{format_rate(peak)} is more than one machine can send", expected=most)
    elif load.duration <= MOST_SECONDS and peak * load.duration > MOST_ARRIVALS:
        window = f"{format_rate(peak)} for {load.duration:.0f} s"
        yield loc, Problem(f"{window}: too many arrivals for one window", expected=f"at most {MOST_ARRIVALS} in all")
