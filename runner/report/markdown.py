"""A Markdown summary for a pull request or a CI job: verdict table, headlines, what failed, what could not be decided.

Names and texts come from experiment files and from services, so all of them are escaped: none can break the table, bring in
HTML or call a person.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runner.report import marks, words
from runner.report.answer import top

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.results.document.checks import CheckRecord
    from runner.results.document.run import RunDocument, Verdict
    from runner.results.suite import SuiteEntry

MAX_CHARACTERS = 60_000
"""GitHub refuses comments of more than 65,536 characters."""

_LISTED = (30, 5, 0)
"""How many checks of a run are listed, from the most to the fewest that it takes to stay short enough."""

_SPECIAL = re.compile(r"([\\`*_\[\]#|~<>])")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, marks that turn the direction of what follows, and halves of characters."""
_LONGEST_TEXT = 1500
_ICONS = {
    "pass": "\N{WHITE HEAVY CHECK MARK}",
    "fail": "\N{CROSS MARK}",
    "inconclusive": "\N{WHITE QUESTION MARK ORNAMENT}",
    "aborted": "\N{OCTAGONAL SIGN}",
    "error": "\N{HEAVY EXCLAMATION MARK SYMBOL}",
}


def markdown(verdict: Verdict, reason: str, runs: Sequence[tuple[SuiteEntry, RunDocument | None]]) -> str:
    """The summary, short enough for a comment.

    Args:
        verdict: of all runs together.
        reason: why, in one sentence.
        runs: every experiment with its run's document; None where the run ended before it had one, or was not run.
    """
    text = ""
    for listed in _LISTED:
        parts = [f"## {_icon(verdict)} Meshtrial: {marks.VERDICTS[verdict].word}", _text(reason), _table(runs)]
        parts += [part for entry, document in runs if (part := _details(entry, document, listed))]
        text = "\n\n".join(part for part in parts if part) + "\n"
        if len(text) <= MAX_CHARACTERS:
            return text
    cut = text[:MAX_CHARACTERS]
    return cut[: cut.rfind("\n")] + "\n\nMore is in the run folder.\n"


def _table(runs: Sequence[tuple[SuiteEntry, RunDocument | None]]) -> str:
    lines = ["| Experiment | Verdict | Checks | Headline |", "|--|--|--|--|"]
    for entry, document in runs:
        verdict = (
            f"{_icon(entry.verdict)} {marks.VERDICTS[entry.verdict].word}" if entry.verdict is not None else "not run"
        )
        said = top(document) if document and entry.headline else None
        headline = _text(said.sentence if said and said.lines else entry.headline or entry.reason, table=True)
        lines.append(f"| {_text(entry.experiment, table=True)} | {verdict} | {checks_in_words(entry)} | {headline} |")
    return "\n".join(lines)


def checks_in_words(entry: SuiteEntry) -> str:
    """How a run's checks came out: `4 held, 1 failed`, `5 held`, an en dash without any."""
    counts = entry.checks
    parts = [("held", counts.held), ("failed", counts.failed), ("inconclusive", counts.inconclusive)]
    return ", ".join(f"{number} {word}" for word, number in parts if number) or words.NONE


def _details(entry: SuiteEntry, document: RunDocument | None, listed: int) -> str:
    """The answer by variant, of many variants, and what did not hold in one run; empty when all did and the table has it all."""
    open_checks = [check for check in document.checks if check.outcome != "held"] if document else []
    answer = _answer(document) if document and entry.headline and listed else []
    if not answer and not open_checks and not (document and document.guardrail) and entry.verdict in {None, "pass"}:
        return ""
    word = marks.VERDICTS[entry.verdict].word.lower() if entry.verdict else "not run"
    lines = [f"### {_text(entry.experiment)}: {word}", ""]
    if entry.reason and (entry.verdict in {"error", "aborted"} or not open_checks):
        lines += [_text(entry.reason), ""]
    if answer:
        lines += [*answer, ""]
    lines += [_item(check) for check in open_checks[:listed]]
    left = len(open_checks) - listed
    if left > 0:
        lines.append(f"- {words.plural(left, 'more check')} in the report")
    if entry.folder:
        lines += ["", f"Report: {_code(f'{entry.folder}/report.html')}"]
    if document and document.command:
        lines += ["", f"Repeat it: {_code(document.command)}"]
    return "\n".join(lines).rstrip()


def _answer(document: RunDocument) -> list[str]:
    """One item for each variant; none where the headline is the answer."""
    found = top(document)
    if not found.lines:
        return []
    lines = [f"{_text(found.lead)}:", ""] if found.lead else []
    for line in found.lines:
        aside = ", ".join(part for part in (line.role, line.checks) if part)
        lines.append(f"- **{_escaped(line.variant)}**{f' ({_escaped(aside)})' if aside else ''}: {_text(line.text)}")
    if found.left:
        lines.append(f"- {words.plural(found.left, 'more variant')} in the report")
    return lines


def _item(check: CheckRecord) -> str:
    mark = marks.CHECKS[check.outcome]
    reason = f". {_text(check.reason)}" if check.reason else ""
    return f"- **{mark.word}** {_code(check.check)}: {_text(check.observed).rstrip('.')}{reason}"


def _icon(verdict: Verdict) -> str:
    return _ICONS[str(verdict)]


def _text(text: str, *, table: bool = False) -> str:
    """A text on one line with nothing in it that Markdown or HTML would take for its own; names in backticks become code."""
    line = " ".join(text.split())
    if len(line) > _LONGEST_TEXT:
        line = line[:_LONGEST_TEXT] + "\N{HORIZONTAL ELLIPSIS}"
    pieces = line.split("`")
    if len(pieces) % 2 == 0:
        return _escaped(line)
    return "".join(_code(piece, table=table) if place % 2 else _escaped(piece) for place, piece in enumerate(pieces))


def _escaped(text: str) -> str:
    text = _SPECIAL.sub(r"\\\1", _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)).replace("&", "&amp;")
    return text.replace("@", "@\N{WORD JOINER}")  # so that nobody is called


def _code(text: str, *, table: bool = False) -> str:
    """A name as code; in a table a `|` would end the cell even there."""
    inner = _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", " ".join(text.split()))
    if not inner:
        return ""
    if table:
        inner = inner.replace("|", r"\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", inner)), default=0))
    pad = " " if inner.startswith("`") or inner.endswith("`") else ""
    return f"{fence}{pad}{inner}{pad}{fence}"
