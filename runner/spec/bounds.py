"""Bounds on what a run may ask for: a slip of a digit is told before it fills the memory or runs for a year.

Most lie well beyond what one machine can generate or a person waits for; a longer test is several runs. How many users there may be
depends on this machine: each holds a connection, and connections are open files.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from runner.errors import Problem
from runner.units import format_rate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.spec.load_profile import Load

MOST_BLOCKS = 1_000
MOST_USERS = 100_000
_DAY = 86_400.0
MOST_SECONDS = 7 * _DAY
"""Of one window of load."""
MOST_RATE = 100_000.0
"""Arrivals per second; Locust makes some thousands of requests per second and core."""
MOST_ARRIVALS = 20_000_000
"""Of one window; their due moments are made before it begins."""
SPARE_FILES = 64
"""What a generator opens besides its connections."""


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
    if isinstance(load.users, int) and load.users > MOST_USERS:
        yield ("users",), Problem(f"{load.users} users are too many for one machine", expected=f"at most {MOST_USERS}")
    else:
        yield from _too_few_files(load, files_for_connections())
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


def files_for_connections() -> int | None:
    """How many connections one process of this machine may hold; None without a limit.

    Generators raise their limit to the hard one by themselves, so that is what counts.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if most == resource.RLIM_INFINITY else max(0, most - SPARE_FILES)


def _too_few_files(load: Load, most: int | None) -> Iterator[tuple[tuple[str, ...], Problem]]:
    """More connections at once than the generator's processes may have open files."""
    asked = _connections(load)
    if most is None or asked is None:
        return
    loc, what, many = asked
    locust = load.locust
    workers = locust.workers if locust else None
    if workers == "external":
        return  # the limits are those of other machines
    processes = workers or (locust.processes if locust else 1)
    if many <= most * processes:
        return
    fewer = most * processes
    limit = f"{most + SPARE_FILES} files may be open in a process of this machine"
    shared = f", and {processes} share the load" if processes > 1 else ""
    key = "workers" if workers else "processes"
    more = f", or share it: load.locust.{key}: {-(-many // most)}" if locust and most else ""
    yield (
        loc,
        Problem(
            f"{many} {what} hold a connection each, and only {limit}{shared}",
            expected=f"at most {fewer}",
            suggestion=f"Raise the limit with `ulimit -n`{more}",
        ),
    )


def _connections(load: Load) -> tuple[tuple[str, ...], str, int] | None:
    """Where the load says how many connections it may hold, what it calls them, and how many; None where it does not say."""
    if load.fortio is not None:
        return ("fortio", "connections"), "connections of fortio", load.fortio.connections
    if isinstance(load.users, int):
        return ("users",), "users", load.users
    if load.arrivals is not None and "max_in_flight" in load.arrivals.model_fields_set:
        return ("arrivals", "max_in_flight"), "tasks under way at once", load.arrivals.max_in_flight
    return None
