"""How outcomes and variants are marked: every colour has a sign or a word beside it, every variant its own dash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.results.document.run import Verdict
from runner.results.document.trial import Invalid

if TYPE_CHECKING:
    from runner.report.table import Tone


@dataclass(frozen=True, slots=True)
class Mark:
    """A sign, a word and a tone for one outcome."""

    symbol: str
    word: str
    tone: Tone


UNSURE = Mark("?", "Inconclusive", "unsure")

VERDICTS: dict[Verdict, Mark] = {
    Verdict.PASS: Mark("✓", "Pass", "good"),
    Verdict.FAIL: Mark("✗", "Fail", "bad"),
    Verdict.INCONCLUSIVE: UNSURE,
    Verdict.ABORTED: Mark("■", "Aborted", "bad"),
    Verdict.ERROR: Mark("!", "Error", "bad"),
}

CHECKS: dict[str, Mark] = {
    "held": Mark("✓", "held", "good"),
    "failed": Mark("✗", "failed", "bad"),
    "inconclusive": Mark("?", "inconclusive", "unsure"),
}

COMPARISONS: dict[str, Mark] = {
    "better": Mark("✓", "better", "good"),
    "worse": Mark("✗", "worse", "bad"),
    "different": Mark("≠", "different", ""),
    "equivalent": Mark("=", "equivalent", "good"),
    "inconclusive": Mark("?", "inconclusive", "unsure"),
}

INVALID: dict[Invalid, str] = {
    Invalid.FAULT_NOT_FIRED: "the fault never fired",
    Invalid.RATE_MISSED: "the load generator did not reach the rate",
    Invalid.DROPPED: "arrivals were dropped",
    Invalid.LAG: "requests were sent too late",
    Invalid.GENERATOR_CPU: "the load generator ran out of CPU",
    Invalid.CONFIG_LOST: "a proxy did not hold the config throughout",
    Invalid.DRIFT: "latency drifted within the window",
    Invalid.NO_TRAFFIC: "no traffic arrived",
    Invalid.UNREACHABLE: "the target could not be reached",
    Invalid.PROXY_DIED: "a proxy died",
    Invalid.NOT_STEADY: "the warm-up did not reach a steady state",
}

DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 4", "4 2 1 2", "1 2", "6 2 1 2 1 2")
"""Dash patterns of the variants' lines, in pixels; the baseline's is solid."""

COLOURS = 8
"""How many variant colours the style sheet has (`--series-0` ...)."""


@dataclass(frozen=True, slots=True)
class Series:
    """The mark of one variant: its colour's number and its dash pattern."""

    colour: int
    dash: str


def series(place: int) -> Series:
    """The mark of the variant at `place` (from 0); past eight, colours come again with another dash."""
    return Series(place % COLOURS, DASHES[(place + place // COLOURS) % len(DASHES)])
