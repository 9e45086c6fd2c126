"""The paired method: Hodges-Lehmann estimate with its exact signed-rank interval, and Holm's adjustment.

One difference per block is all that goes in: requests within a trial are no independent observations. In simulations
of equal systems with drift, tests on pooled requests called half of them different where this one keeps its 5 %
(Abedi & Brecht 2017 on the interleaved design).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ALPHA = 0.05
_ALL_FLIPS = 16
"""Up to this many blocks every flip of signs is gone through (65,536); above, a sample of them with a fixed seed."""


def walsh_averages(differences: Sequence[float]) -> Floats:
    """All (d_i + d_j) / 2 with i <= j, sorted."""
    d = np.asarray(differences, dtype=float)
    rows, columns = np.triu_indices(len(d))
    # halved before adding: the mean of two equal numbers is then exactly that number, whatever their size
    return np.sort(d[rows] / 2 + d[columns] / 2)


def hodges_lehmann(differences: Sequence[float]) -> float:
    """The median of the Walsh averages (Hodges & Lehmann 1963): the shift between two variants."""
    return float(np.median(walsh_averages(differences)))


def signed_rank_distribution(blocks: int) -> Floats:
    """P(W+ <= c) for c = 0 ... B(B+1)/2, exact, when the variants do not differ."""
    ways = np.ones(1)
    for rank in range(1, blocks + 1):
        longer = np.zeros(len(ways) + rank)
        longer[: len(ways)] += ways
        longer[rank:] += ways
        ways = longer / 2
    return np.cumsum(ways)


def shift_interval(differences: Sequence[float], alpha: float = ALPHA) -> tuple[float, float] | None:
    """The exact interval of the shift (Hollander, Wolfe & Chicken 2014, section 3.3).

    Returns:
        The k-th smallest and k-th largest Walsh average, where k - 1 is the largest c with P(W+ <= c) <= alpha/2;
        None when there are too few blocks for any. With ties it covers at least as much as it says.
    """
    walsh = walsh_averages(differences)
    # a relative hair keeps 2^-B from missing alpha/2 by rounding
    k = int(np.searchsorted(signed_rank_distribution(len(differences)), alpha / 2 * (1 + 1e-9), side="right"))
    return (float(walsh[k - 1]), float(walsh[-k])) if k else None


def p_value(differences: Sequence[float]) -> float:
    """The two-sided p of "no shift".

    Wilcoxon's signed-rank test, exact; with ties or zeros the sign-flip permutation test of the mean, over all flips.
    """
    d = np.asarray(differences, dtype=float)
    sizes = np.abs(d)
    if not sizes.any():
        return 1.0
    if np.all(sizes > 0) and len(np.unique(sizes)) == len(d):
        return float(stats.wilcoxon(d, method="exact").pvalue)
    if len(d) < 2:  # noqa: PLR2004 - one block: both signs are equally likely
        return 1.0
    result = stats.permutation_test(
        (d,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        n_resamples=2 ** min(len(d), _ALL_FLIPS),  # all flips of up to 16 blocks
        vectorized=True,
        batch=4096,
        rng=np.random.default_rng(0),
    )
    return float(min(result.pvalue, 1.0))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values (Holm 1979), in the order given: together they keep the error rate of one."""
    adjusted = [0.0] * len(p_values)
    so_far = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        so_far = max(so_far, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = so_far
    return adjusted


def blocks_for(
    differences: Sequence[float], distance: float, least: int, alpha: float = ALPHA, power: float = 0.8
) -> int | None:
    """How many blocks would tell a shift of `distance` from none with this power: 7.85 (s_d / distance)^2 for 80 %.

    7.85 is (1.96 + 0.84)^2, the normal quantiles of `alpha` and `power`. At least `least`, and one more than there were,
    since these did not do; None where the distance is zero.
    """
    return _blocks(differences, float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)), distance, least)


def blocks_to_decide(differences: Sequence[float], margin: float, least: int, alpha: float = ALPHA) -> int | None:
    """How many blocks would give every difference a verdict word, wherever it lies: 15.4 (s_d / margin)^2.

    15.4 is (2 * 1.96)^2: the interval is then no wider than the margin, so that it can't hold zero and reach beyond the
    margin at once. With the 7.85 of `blocks_for`, a quarter to two thirds of the inconclusive runs that were continued to
    the number they named were settled where blocks vary by 10 %; with this, 80 to 90 % (docs/benchmarks.md).
    """
    return _blocks(differences, 2 * float(stats.norm.ppf(1 - alpha / 2)), margin, least)


def _blocks(differences: Sequence[float], quantiles: float, distance: float, least: int) -> int | None:
    if distance <= 0:
        return None
    if len(differences) < 2:  # noqa: PLR2004 - a spread takes two
        return max(least, len(differences) + 1)
    needed = math.ceil((quantiles * float(np.std(differences, ddof=1)) / distance) ** 2)
    return max(needed, least, len(differences) + 1)
