"""How large a difference is found, with how many blocks, and what is said of it.

B differs from A by a true shift; blocks differ among themselves by s_d, the standard deviation of a block's difference (logarithms).
Power is how often the interval excludes zero. The verdict words are told apart from it: with a margin of 10 % a real shift of
5 % is often rightly called equivalent, and one of exactly 10 % lies at the margin, so that about half of the claims are better or
worse. The last table takes the runs that came out inconclusive at their word: with the number of blocks that their sentence names,
measured anew, how many were settled?
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bench.measure import Result, Table
from bench.statistics_model import SEED, WORDS, Noise, excludes, percent, shift_intervals, stream, words
from runner.analysis.advice import HARDLY
from runner.analysis.compare import MARGIN
from runner.analysis.signed_rank import blocks_to_decide

if TYPE_CHECKING:
    from bench.statistics_model import Floats

SHIFTS = (0.0, 0.05, 0.10, 0.20)
BLOCKS = (6, 8, 10, 15, 20)
BETWEEN = {
    "s_d = 5 %": Noise("normal", own=0.05),
    "s_d = 10 %": Noise("normal", own=0.10),
    "s_d = 5 % with heavy tails (Student's t with 3 degrees of freedom)": Noise(
        "heavy", own=0.05 / math.sqrt(3), tails=3
    ),
}
_RARE = 0.01
"""Where fewer runs than this are inconclusive, there is nothing to continue."""


def differences(noise: Noise, shift: float, blocks: int, runs: int) -> Floats:
    """A difference for every block of every run: the shift and the block's own."""
    dice = stream("power", noise.name, noise.own, shift, blocks)
    return math.log1p(shift) + noise.levels(dice, runs, blocks)


def row(noise: Noise, shift: float, blocks: int, runs: int) -> tuple[float, dict[str, float]]:
    """Power, and the share of each verdict word."""
    d = differences(noise, shift, blocks, runs)
    said = words(d)
    return float(np.mean(excludes(shift_intervals(d)))), {word: float(np.mean(said[word])) for word in WORDS}


def settled(noise: Noise, shift: float, blocks: int, runs: int) -> tuple[float, float, float]:
    """The runs that were inconclusive, continued for the number of blocks that they name.

    Returns:
        The share of runs that were inconclusive, the middle number of blocks named, and the share of those that it settled.
    """
    d = differences(noise, shift, blocks, runs)
    left = d[words(d)["inconclusive"]]
    if not len(left):
        return 0.0, math.nan, math.nan
    needed = np.array([blocks_to_decide(one, math.log1p(MARGIN), blocks + 1) or 0 for one in left])
    needed = np.minimum(needed, HARDLY * blocks)
    dice = stream("settled", noise.name, noise.own, shift, blocks)
    done = 0
    for count in np.unique(needed):
        mine = left[needed == count]
        fresh = math.log1p(shift) + noise.levels(dice, len(mine), int(count) - blocks)
        done += int((~words(np.concatenate([mine, fresh], axis=1))["inconclusive"]).sum())
    return len(left) / runs, float(np.median(needed)), done / len(left)


def measure(*, quick: bool) -> Result:
    """Run the simulations."""
    runs = 1000 if quick else 20_000
    tables = []
    for title, noise in BETWEEN.items():
        rows = []
        for shift in SHIFTS:
            for blocks in BLOCKS:
                power, said = row(noise, shift, blocks, runs)
                rows.append([f"{shift:.0%}", str(blocks), percent(power), *(percent(said[word]) for word in WORDS)])
        tables.append(
            Table(f"{title}, {runs} runs each", ["true shift", "blocks", "interval excludes zero", *WORDS], rows)
        )
    continued = []
    for title, noise in BETWEEN.items():
        for shift in SHIFTS:
            for blocks in (6, 10):
                share, named, done = settled(noise, shift, blocks, runs // 4)
                if share < _RARE:
                    continue
                continued.append(
                    [
                        title.partition(" (")[0],
                        f"{shift:.0%}",
                        str(blocks),
                        percent(share),
                        f"{named:.0f}",
                        percent(done),
                    ]
                )
    tables.append(
        Table(
            "Inconclusive runs, continued to the number of blocks that they named",
            ["", "true shift", "blocks", "inconclusive", "blocks named (median)", "of these settled"],
            continued,
        )
    )
    notes = [
        f"Seed {SEED}. The simulation's own error is at most {100 / runs**0.5:.1f} points.",
        "Shift 0 % is A compared with A: what excludes zero there is a false alarm.",
    ]
    return Result(notes=notes, tables=tables)
