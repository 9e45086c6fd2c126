"""How often a difference is claimed between identical systems.

A compared with A: 10 blocks (20 trials) of 200 requests each, whose latencies vary within a trial (20 %, each remembering half of
the one before) and whose trials vary as machines do. Trials are moved by nothing but noise: each on its own (5 %), drift (a walk
of 3 % from trial to trial and 30 % over the run), autocorrelation (each trial remembers 90 % of the last one's noise), heavy tails
(Student's t with 2 degrees of freedom), something that slows every other trial, and all of it at once. The paired method in
randomised blocks is what `meshtrial` uses; the others are what load-testing tools and notebooks do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import signal, stats

from bench.measure import Result, Table
from bench.statistics_model import (
    NOISES,
    SEED,
    Noise,
    excludes,
    holm_rejects,
    in_blocks,
    one_after_the_other,
    p_values,
    percent,
    shift_intervals,
    stream,
    words,
)
from runner.analysis.signed_rank import ALPHA

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.statistics_model import Floats, Truths

BLOCKS = 10
REQUESTS = 200
_WITHIN = 0.2
_REQUEST_MEMORY = 0.5
_RESAMPLES = 400
_AT_ONCE = 250
"""Runs simulated together, for the memory that their requests take."""


def requests(dice: np.random.Generator, levels: Floats) -> Floats:
    """Logarithms of latencies: levels x REQUESTS."""
    drawn = dice.standard_normal((*levels.shape, REQUESTS))
    own = signal.lfilter([(1 - _REQUEST_MEMORY**2) ** 0.5], [1, -_REQUEST_MEMORY], drawn, axis=-1)
    return np.asarray(levels[..., None] + _WITHIN * own, dtype=float)


def _differences(ours: Floats, theirs: Floats) -> Floats:
    return np.asarray(np.median(ours, axis=-1) - np.median(theirs, axis=-1), dtype=float)


def paired(_: np.random.Generator, ours: Floats, theirs: Floats) -> Truths:
    """The signed-rank interval of one difference per block."""
    return excludes(shift_intervals(_differences(ours, theirs)))


def paired_t(_: np.random.Generator, ours: Floats, theirs: Floats) -> Truths:
    """Student's t on one difference per block."""
    return np.asarray(stats.ttest_1samp(_differences(ours, theirs), 0, axis=1).pvalue < ALPHA)


def bootstrap_of_blocks(dice: np.random.Generator, ours: Floats, theirs: Floats) -> Truths:
    """The percentile bootstrap of the mean difference, blocks drawn."""
    d = _differences(ours, theirs)
    drawn = dice.integers(0, d.shape[1], (_RESAMPLES, d.shape[1]))
    ends = np.quantile(d[:, drawn].mean(axis=-1), [ALPHA / 2, 1 - ALPHA / 2], axis=1)
    return excludes((ends[0], ends[1]))


def mann_whitney(_: np.random.Generator, ours: Floats, theirs: Floats) -> Truths:
    """Mann-Whitney on all requests of all trials thrown together."""
    ours, theirs = ours.reshape(len(ours), -1), theirs.reshape(len(theirs), -1)
    n, m = ours.shape[1], theirs.shape[1]
    ranks = stats.rankdata(np.concatenate([ours, theirs], axis=1), axis=1)
    u = ranks[:, :n].sum(axis=1) - n * (n + 1) / 2
    return np.asarray(np.abs(u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12) > stats.norm.ppf(1 - ALPHA / 2))


def bootstrap_of_requests(dice: np.random.Generator, ours: Floats, theirs: Floats) -> Truths:
    """The percentile bootstrap of the difference of means, requests drawn."""

    def resampled(values: Floats) -> Floats:
        return np.asarray(values[dice.integers(0, len(values), (_RESAMPLES // 2, len(values)))].mean(axis=1))

    pairs = zip(ours.reshape(len(ours), -1), theirs.reshape(len(theirs), -1), strict=True)
    drawn = np.array([resampled(a) - resampled(b) for a, b in pairs])
    low, high = np.quantile(drawn, [ALPHA / 2, 1 - ALPHA / 2], axis=1)
    return excludes((low, high))


METHODS: dict[str, tuple[Callable[[np.random.Generator, Floats, Floats], Truths], bool]] = {
    "signed-rank interval, paired by randomised block (Meshtrial)": (paired, True),
    "Student's t, paired by randomised block": (paired_t, True),
    "percentile bootstrap of randomised blocks": (bootstrap_of_blocks, True),
    "Mann-Whitney on pooled requests, randomised blocks": (mann_whitney, True),
    "percentile bootstrap of pooled requests, randomised blocks": (bootstrap_of_requests, True),
    "signed-rank interval, all of A and then all of B": (paired, False),
    "Mann-Whitney on pooled requests, all of A and then all of B": (mann_whitney, False),
}
"""By name: which runs it calls different, and whether the trials ran in randomised blocks."""


def alarms(noise: Noise, runs: int, names: tuple[str, ...] = tuple(METHODS)) -> dict[str, float]:
    """The share of runs in which each method calls A different from A."""
    dice = stream("alarms", noise.name)
    found: dict[str, list[Truths]] = {name: [] for name in names}
    for begin in range(0, runs, _AT_ONCE):
        levels = noise.levels(dice, min(_AT_ONCE, runs - begin), 2 * BLOCKS)
        arranged = {True: in_blocks(dice, levels), False: one_after_the_other(levels)}
        made = {blocked: [requests(dice, side) for side in sides] for blocked, sides in arranged.items()}
        for name in names:
            method, blocked = METHODS[name]
            if method is bootstrap_of_requests and begin:
                continue  # it is slow, and plain from few runs
            found[name].append(method(dice, *made[blocked]))
    return {name: float(np.mean(np.concatenate(parts))) for name, parts in found.items()}


def by_blocks(blocks: int, runs: int, noise: Noise = NOISES[-1]) -> tuple[float, float]:
    """The share of false alarms, and of false words (better, worse)."""
    dice = stream("by blocks", blocks, noise.name)
    ours, theirs = in_blocks(dice, noise.levels(dice, runs, 2 * blocks))
    said = words(ours - theirs)
    return float(np.mean(excludes(shift_intervals(ours - theirs)))), float(np.mean(said["better or worse"]))


def family(comparisons: int, blocks: int, runs: int) -> dict[str, float]:
    """The share of runs with at least one false alarm among several comparisons of identical variants.

    Three metrics of each variant, which share four fifths of a trial's noise, against one baseline.
    """
    dice = stream("family", comparisons, blocks)
    metrics = min(3, comparisons)
    variants = comparisons // metrics
    noise = NOISES[-1]
    shape = (runs, blocks, variants + 1)
    order = np.argsort(dice.random(shape), axis=-1)

    def trials() -> Floats:
        levels = noise.levels(dice, runs, blocks * (variants + 1)).reshape(shape)
        return np.take_along_axis(levels, order, axis=-1)

    common = trials()
    d = []
    for _ in range(metrics):
        levels = 0.8 * common + 0.2 * trials()
        d += [levels[..., variant] - levels[..., 0] for variant in range(1, variants + 1)]
    p = p_values(np.stack(d, axis=1))
    return {
        "each by itself at 5 %": float(np.mean((p <= ALPHA).any(axis=1))),
        "Holm": float(np.mean(holm_rejects(p).any(axis=1))),
        "Bonferroni": float(np.mean((p <= ALPHA / comparisons).any(axis=1))),
    }


def steps(clear: int, borderline: int, blocks: int, runs: int) -> float:
    """The share of runs in which Holm's steps decide any check the wrong way.

    Args:
        clear: checks whose true change is 3 deviations from the limit, so that about half to all of them are decided.
        borderline: checks whose true change is the limit itself, so that any decision is wrong in half the cases.
        blocks: of each run.
        runs: how many.
    """
    dice = stream("steps", clear, borderline, blocks)
    d = dice.standard_normal((runs, clear + borderline, blocks))
    d[:, :clear] += 1.0
    # at the limit neither side is right: to be decided at all is wrong there
    wrong = np.where(np.arange(clear + borderline) < clear, np.median(d, axis=-1) < 0, True)  # noqa: FBT003
    return float(np.mean((holm_rejects(p_values(d)) & wrong).any(axis=1)))


def measure(*, quick: bool) -> Result:
    """Run the simulations."""
    runs = 250 if quick else 4000
    many = 5000 if quick else 50_000
    found = {noise.name: alarms(noise, runs) for noise in NOISES}
    methods = Table(
        f"Share of {runs} runs in which A is called different from A ({ALPHA:.0%} is what each method promises)",
        ["method", *found],
        [[name, *(percent(found[noise][name]) for noise in found)] for name in METHODS],
    )
    counts = (6, 7, 8, 10, 15, 20)
    level = {noise.name: [by_blocks(count, many, noise) for count in counts] for noise in NOISES}
    blocks = Table(
        f"Meshtrial's method by number of blocks, {many} runs; how often it said better or worse in brackets",
        ["noise between trials", *(f"{count} blocks" for count in counts)],
        [[name, *(f"{percent(alarm)} ({percent(claim)})" for alarm, claim in row)] for name, row in level.items()],
    )
    families = {m: family(m, 10, many) for m in (1, 3, 6, 9)}
    several = Table(
        f"At least one false alarm among several comparisons of one run, 10 blocks, {many} runs",
        ["", *(f"{m} comparison{'s' * (m > 1)}" for m in families)],
        [[name, *(percent(families[m][name]) for m in families)] for name in families[1]],
    )
    mixed = [(0, 3), (1, 2), (2, 1), (3, 1), (5, 1)]
    wrong = Table(
        f"Any check decided though its true change is the limit itself, Holm's steps, 12 blocks, {many} runs",
        ["", *(f"{clear} clear and {left} at the limit" for clear, left in mixed)],
        [["any wrong decision", *(percent(steps(clear, left, 12, many)) for clear, left in mixed)]],
    )
    first, others = (200 * (0.05 * 0.95 / number) ** 0.5 for number in (runs, many))
    notes = [
        f"Seed {SEED}. The simulation's own error is about {first:.1f} points in the first table and {others:.2f} below.",
        "Six blocks can only give p = 3.1 %, 6.25 %, ...: the interval that exists is a 96.9 % one. Ten give 4.9 %.",
        "Student's t keeps its level here too: pairing and random order matter most. Without the order, pairing does not help.",
        f"The bootstrap of pooled requests was given {_AT_ONCE} runs only.",
    ]
    return Result(notes=notes, tables=[methods, blocks, several, wrong])
