"""Runs that never happened, thousands at a time: what trials on a real machine do, and the paired method on all of them at once.

The arithmetic of `runner.analysis` is repeated here over whole arrays, because one run at a time would take hours; tests hold
both to the same answers (tests/analysis/test_simulations.py).
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal, stats

from runner.analysis.compare import MARGIN
from runner.analysis.signed_rank import ALPHA, signed_rank_distribution

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Truths = NDArray[np.bool_]

SEED = 20261124
"""Of every simulation; each draws from a stream of its own."""
WORDS = ("better or worse", "different", "equivalent", "inconclusive")


def stream(*names: object) -> np.random.Generator:
    """Random numbers of one simulation, always the same."""
    return np.random.default_rng([SEED, *(zlib.crc32(str(name).encode()) for name in names)])


@dataclass(frozen=True, slots=True)
class Noise:
    """How the level of trials, one after the other, moves although nothing was changed; sizes of logarithms.

    Attributes:
        name: in the table.
        own: of every trial by itself.
        tails: degrees of freedom of Student's t; 0 for the normal distribution.
        walk: a random walk's step from trial to trial.
        slope: a steady drift over the whole run.
        memory: correlation of one trial's noise with the next one's.
        every_other: something that slows every second trial down.
    """

    name: str
    own: float = 0.05
    tails: int = 0
    walk: float = 0.0
    slope: float = 0.0
    memory: float = 0.0
    every_other: float = 0.0

    def levels(self, dice: np.random.Generator, runs: int, trials: int) -> Floats:
        """A level for every trial in order of time, `runs` x `trials`."""
        size = (runs, trials)
        drawn = dice.standard_t(self.tails, size) if self.tails else dice.standard_normal(size)
        if self.memory:
            drawn = signal.lfilter([math.sqrt(1 - self.memory**2)], [1, -self.memory], drawn, axis=1)
        level = self.own * drawn
        if self.walk:
            level += self.walk * np.cumsum(dice.standard_normal(size), axis=1)
        level += self.slope * np.linspace(-0.5, 0.5, trials)
        level[:, ::2] += self.every_other
        return np.asarray(level, dtype=float)


NOISES = (
    Noise("independent"),
    Noise("drift", walk=0.03, slope=0.3),
    Noise("autocorrelated", memory=0.9),
    Noise("heavy tails", tails=2),
    Noise("every other trial slow", every_other=0.1),
    Noise("all of them", tails=2, walk=0.03, slope=0.3, memory=0.9, every_other=0.1),
)


def in_blocks(dice: np.random.Generator, levels: Floats) -> tuple[Floats, Floats]:
    """The levels of A's and of B's trials: each block's two in random order. Shapes `runs` x `blocks`."""
    pairs = levels.reshape(len(levels), -1, 2)
    first = dice.random(pairs.shape[:2]) < 0.5
    return np.where(first, pairs[..., 0], pairs[..., 1]), np.where(first, pairs[..., 1], pairs[..., 0])


def one_after_the_other(levels: Floats) -> tuple[Floats, Floats]:
    """All of A's trials, then all of B's."""
    half = levels.shape[1] // 2
    return levels[:, :half], levels[:, half:]


def shift_intervals(differences: Floats, alpha: float = ALPHA) -> tuple[Floats, Floats]:
    """The exact signed-rank interval of every row."""
    blocks = differences.shape[-1]
    rows, columns = np.triu_indices(blocks)
    k = int(np.searchsorted(signed_rank_distribution(blocks), alpha / 2 * (1 + 1e-9), side="right"))
    if not k:
        nothing = np.full(differences.shape[:-1], np.inf)
        return -nothing, nothing
    walsh = np.sort((differences[..., rows] + differences[..., columns]) / 2, axis=-1)
    return walsh[..., k - 1], walsh[..., -k]


def estimates(differences: Floats) -> Floats:
    """The Hodges-Lehmann estimate of every row."""
    rows, columns = np.triu_indices(differences.shape[-1])
    middle: Floats = np.median((differences[..., rows] + differences[..., columns]) / 2, axis=-1)
    return middle


def p_values(differences: Floats) -> Floats:
    """The exact two-sided signed-rank p of every row (no ties)."""
    blocks = differences.shape[-1]
    ranks = stats.rankdata(np.abs(differences), axis=-1)
    plus = np.rint((ranks * (differences > 0)).sum(axis=-1)).astype(int)
    least = np.minimum(plus, blocks * (blocks + 1) // 2 - plus)
    return np.minimum(2 * signed_rank_distribution(blocks)[least], 1.0)


def holm_rejects(p: Floats, alpha: float = ALPHA) -> Truths:
    """What Holm's steps reject, along the last axis."""
    tests = p.shape[-1]
    order = np.argsort(p, axis=-1)
    kept = np.logical_and.accumulate(
        np.take_along_axis(p, order, axis=-1) <= alpha / np.arange(tests, 0, -1) * (1 + 1e-9), axis=-1
    )
    rejected = np.empty_like(kept)
    np.put_along_axis(rejected, order, kept, axis=-1)
    return rejected


def words(differences: Floats, margin: float = MARGIN, alpha: float = ALPHA) -> dict[str, Truths]:
    """Which verdict word every row gets."""
    low, high = shift_intervals(differences, alpha)
    edge = math.log1p(margin)
    equivalent = (low >= -edge) & (high <= edge)
    inconclusive = ~equivalent & (low <= 0) & (high >= 0)
    different = ~equivalent & ~inconclusive & (np.abs(estimates(differences)) < edge)
    return dict(
        zip(WORDS, (~(equivalent | inconclusive | different), different, equivalent, inconclusive), strict=True)
    )


def excludes(interval: tuple[Floats, Floats], value: float = 0.0) -> Truths:
    """Whether the intervals leave a value out."""
    return (interval[0] > value) | (interval[1] < value)


def percent(hits: Truths | float) -> str:
    """A share as the tables show it."""
    share = 100 * float(np.mean(hits))
    return f"{share:.1f} %"
