"""The top of every report: one sentence for the verdict and, of many variants, one line for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.analysis.answers import answers
from runner.report import marks
from runner.report.variants import role

if TYPE_CHECKING:
    from runner.results.document.checks import CheckRecord
    from runner.results.document.run import RunDocument

_MOST_LINES = 12
"""Lines from which the first screen would be of nothing else."""
_ORDER = ("failed", "inconclusive", "held")


@dataclass(frozen=True, slots=True)
class Line:
    """One variant: what its checks came to, and what it changed.

    Attributes:
        variant: its name.
        place: its place in the run, which gives its mark.
        role: `baseline`; `closed loop` where other variants are not; both or nothing.
        mark: of the worst outcome of its checks; None without checks.
        checks: how they came out, as `3 held` or `1 of 4 failed`; empty without checks.
        phrases: what it changed, the most telling first.
    """

    variant: str
    place: int
    role: str
    mark: marks.Mark | None
    checks: str
    phrases: list[str]

    @property
    def text(self) -> str:
        """All phrases in one line."""
        return ", ".join(self.phrases)


@dataclass(frozen=True, slots=True)
class Top:
    """What stands at the top.

    Attributes:
        sentence: the verdict's reason where lines give the answer, else the answer itself.
        why: what stands under it, quieter; may be empty.
        lead: what the lines have in common; may be empty.
        lines: one for each variant; none where the sentence is the answer.
        left: how many variants have no line.
    """

    sentence: str
    why: str
    lead: str = ""
    lines: list[Line] = field(default_factory=list)
    left: int = 0


def top(document: RunDocument, most: int = _MOST_LINES) -> Top:
    """The top of a run's report.

    Args:
        document: the run.
        most: how many lines to have at most; those whose checks did not hold are kept first.
    """
    found = answers(document)
    if found is None:
        sentence = document.headline or document.reason or "This run has no result."
        return Top(sentence, document.reason if document.headline else "")
    one_loop = len({variant.closed_loop for variant in document.variants}) == 1
    lines = []
    for answer in found.lines:
        outcome, checks = _checks([check for check in document.checks if check.variant == answer.variant])
        mark = marks.CHECKS[outcome] if outcome else None
        variant = document.variants[answer.place]
        said = ("baseline" if variant.baseline else "") if one_loop else role(variant)
        lines.append(Line(answer.variant, answer.place, said, mark, checks, answer.phrases))
    kept = sorted(lines, key=lambda line: (line.mark is None or line.mark.word == "held", line.place))[:most]
    sentence, why = _split(document)
    return Top(sentence, why, found.lead, sorted(kept, key=lambda line: line.place), len(lines) - len(kept))


def _checks(mine: list[CheckRecord]) -> tuple[str, str]:
    """The worst outcome of a variant's checks and how they came out."""
    counts = {outcome: sum(check.outcome == outcome for check in mine) for outcome in _ORDER}
    worst = next((outcome for outcome in _ORDER if counts[outcome]), "")
    if not worst:
        return "", ""
    return worst, f"{counts[worst]} {worst}" if counts[worst] == len(
        mine
    ) else f"{counts[worst]} of {len(mine)} {worst}"


def _split(document: RunDocument) -> tuple[str, str]:
    """The reason's first sentence, which names the check that decided, and the rest."""
    for check in document.checks:
        end = f"(observed: {check.observed})."
        if check.outcome != "held" and f"`{check.check}` {end}" in document.reason:
            sentence, _, why = document.reason.partition(end)
            return sentence + end, why.strip()
    return document.reason or document.headline, ""
