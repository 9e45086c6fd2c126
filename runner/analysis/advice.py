"""How many more blocks would settle what a run could not: said wherever something is inconclusive.

An interval narrows with the square root of the number of blocks. The number named is the one at which a true value where the
estimate lies would be told from the limit 8 times in 10: (1.96 + 0.84)^2 / 1.96^2 = 2.04 times the blocks at which the
interval would just reach the limit. A spread that is itself estimated from six blocks makes it a rough number.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from runner.analysis.intervals import clopper_pearson
from runner.analysis.words import counted

if TYPE_CHECKING:
    from runner.analysis.measured import Measured

POWER_Z = 0.84
"""The normal quantile of 80 %."""
_EXTRA = ((1.96 + POWER_Z) / 1.96) ** 2
HARDLY = 20
"""Times the blocks there were: beyond that, nobody would run it."""


def more_blocks(blocks: int, needed: int | None, doing: str = "would settle it") -> str:
    """`about 3 more blocks (9 in all) would settle it`.

    Args:
        blocks: how many there were.
        needed: how many in all; None when no number would do.
        doing: what they would do.
    """
    if needed is None or needed > HARDLY * max(blocks, 1):
        return "more blocks would hardly tell"
    return f"about {counted(max(needed - blocks, 1), 'more block')} ({max(needed, blocks + 1)} in all) {doing}"


def blocks_to_clear(measured: Measured, limit: float) -> int | None:
    """The blocks at which an estimate's interval would leave a limit on one side; None where it lies at the limit."""
    value, blocks = measured.value, measured.trials
    if value is None or value == limit or not blocks:
        return None
    if measured.size:
        return _share_blocks(value, limit, measured.size / blocks, HARDLY * blocks)
    end = measured.high if limit > value else measured.low
    if end is None:
        return None
    return math.ceil(blocks * _EXTRA * ((end - value) / (limit - value)) ** 2)


def _share_blocks(share: float, limit: float, per_block: float, most: int) -> int:
    """The blocks at which the exact interval of a share, one that luck moved towards the limit, leaves the limit out."""
    low, high = 0, most + 1
    while high - low > 1:
        blocks = (low + high) // 2
        size = per_block * blocks
        slip = POWER_Z * math.sqrt(limit * (1 - limit) / size) if 0 < limit < 1 else 0.0
        seen = min(max(share + (slip if limit > share else -slip), 0.0), 1.0)
        ends = clopper_pearson(seen * size, size)
        clear = (seen < limit and ends[1] < limit) if limit > share else (seen > limit and ends[0] > limit)
        low, high = (low, blocks) if clear else (blocks, high)
    return high


def blocks_to_tell_apart(one: Measured, other: Measured) -> int | None:
    """The blocks at which the intervals of two estimates would no longer overlap; None where the estimates are equal."""
    if one.value is None or other.value is None or one.value == other.value:
        return None
    lower, upper = sorted((one, other), key=lambda measured: measured.value or 0.0)
    if lower.high is None or upper.low is None or lower.value is None or upper.value is None:
        return None
    blocks = max(one.trials, other.trials)
    reach = (lower.high - lower.value) + (upper.value - upper.low)
    return math.ceil(blocks * _EXTRA * (reach / (upper.value - lower.value)) ** 2) if blocks else None
