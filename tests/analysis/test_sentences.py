"""Every verdict explains itself in a sentence, and what is inconclusive says what would settle it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from runner.analysis.analyse import analyse
from runner.spec.checks import parse_check

ALONE = (
    *(
        "p50 < 52ms",
        "p95 <= 60ms",
        "p99 < 100ms",
        "p99.9 < 300ms",
        "p50 == 50ms",
        "mean >= 50ms",
        "max < 1s",
        "p95 < p99",
    ),
    *(
        "error_rate < 2%",
        "error_rate == 1%",
        "errors == 0",
        "status[200] > 98.9%",
        "outcome[stars] > 49%",
        "dropped == 0",
    ),
    *("outcome[stars] == 50%", "rate >= 19/s", "requests > 0", "p50{page} < 1s", "p50{other} < 1s", "status[503] < 1%"),
    *("proxy[client rq] == 0", "promql[fives] < 5", "capacity > 10/s", "p50 > mean", "error_rate <= 0%"),
)
COMPARED = (
    *(
        "p50 <= +10%",
        "p50 within 5%",
        "p50 within 3ms",
        "p50 == +5%",
        "p95 <= +10%",
        "mean < mean",
        "error_rate <= +1%",
    ),
    *("error_rate within 1%", "requests == requests", "status[200] within 1%", "rate within 5%", "errors within 5%"),
    *("outcome[stars] >= -1%", "p50 <= -40%"),
)
SETTLED_BY = re.compile(
    r"more blocks? \(|more blocks would (hardly tell|not help)|There is nothing to decide by|can't be compared|never to be equal"
    r"|no valid trial|are too few"
)


def run(blocks_of, rng, blocks, requests, slower, spread, errors):
    """Two variants, `b` slower by a factor, both with trials that differ."""
    found = []
    for name, factor in (("a", 1.0), ("b", slower)):
        for block in range(1, blocks + 1):
            centre = 50 * factor * np.exp(spread * rng.standard_normal())
            latencies = list(centre * np.exp(0.2 * rng.standard_normal(requests)))
            failed = rng.binomial(requests, errors) if errors < 1 else requests
            trial = blocks_of(
                name,
                [latencies],
                errors=int(failed),
                outcomes={"stars": int(rng.binomial(requests, 0.5))},
                increases={"client": {"x.rq": requests}},
                absent={"fives": "the local mesh has no Prometheus"},
            )[0]
            trial.block = block
            found.append(trial)
    return found


@pytest.mark.parametrize(
    ("blocks", "requests", "slower", "spread", "errors"),
    [
        (1, 120, 1.0, 0.0, 0.0),
        (2, 30, 1.0, 0.05, 0.01),
        (5, 120, 1.3, 0.05, 0.0),
        (6, 120, 1.0, 0.05, 0.01),
        (8, 120, 1.08, 0.05, 0.03),
        (10, 1200, 1.0, 0.01, 0.01),
        (10, 200, 1.2, 0.3, 0.5),
        (12, 200, 0.5, 0.02, 0.0),
    ],
)
def test_every_verdict_explains_itself(blocks_of, blocks, requests, slower, spread, errors):
    trials = run(blocks_of, np.random.default_rng(blocks * requests), blocks, requests, slower, spread, errors)
    groups = [[parse_check(text, "b", None, None) for text in ALONE]]
    groups += [[parse_check(text, "b", "a", None) for text in COMPARED]]
    groups += [[check] for check in groups[1]]  # each as the run's only check too
    for checks in groups:
        found = analyse(["a", "b"], trials, checks)
        for record in found.checks:
            reads_well(record.reason)
            assert record.observed
            if record.outcome == "inconclusive":
                assert SETTLED_BY.search(record.reason), (record.check, record.reason)
        for comparison in found.comparisons:
            reads_well(comparison.sentence)
            if comparison.outcome == "inconclusive":
                assert SETTLED_BY.search(comparison.sentence), comparison.sentence
        reads_well(found.reason)
        reads_well(found.headline, longest=700)


def reads_well(sentence, longest=420):
    assert sentence.endswith("."), sentence
    assert sentence[0].isupper() or sentence[0].isdigit() or sentence[0] in "ab", sentence
    assert len(sentence) <= longest, sentence
    assert not re.search(r"\bNone\b|\bnan\b|\binf\b|\s\s|\.\.|\be[+-]\d|-0 |(?<![\d.])1 (blocks|points)\b", sentence), (
        sentence
    )
