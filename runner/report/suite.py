"""The page of a suite: one verdict, and a table that leads to each run's own report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from runner.errors import InputError
from runner.report import assets, marks, words
from runner.report.answer import top
from runner.report.markdown import checks_in_words
from runner.report.table import Cell, Column, Group, Row, Table, simple
from runner.results.store import REPORT_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runner.results.document.run import RunDocument
    from runner.results.suite import SuiteDocument, SuiteEntry, SuiteFolder

NOT_RUN = marks.Mark("\N{EN DASH}", "Not run", "muted")


@dataclass(frozen=True, slots=True)
class SuitePage:
    """What the page shows."""

    title: str
    subline: str
    mark: marks.Mark
    reason: str
    runs: Table
    unmet: Table
    command: str
    facts: list[tuple[str, str]]


def mark_of(entry: SuiteEntry) -> marks.Mark:
    """The mark of one run; of one that was not run its own."""
    return marks.VERDICTS[entry.verdict] if entry.verdict is not None else NOT_RUN


def page(document: SuiteDocument, runs: Sequence[tuple[SuiteEntry, RunDocument | None]]) -> SuitePage:
    """Everything that the page shows.

    Args:
        document: the suite.
        runs: every experiment with its run's document; None where there is none.
    """
    mark = marks.VERDICTS[document.verdict]
    took = words.elapsed(document.started, document.ended)
    number = words.plural(len(runs), "experiment")
    return SuitePage(
        title=f"{mark.word}: {number}",
        subline=" · ".join(
            part for part in (words.moment(document.started), words.took(took) if took is not None else "") if part
        ),
        mark=mark,
        reason=document.reason,
        runs=_runs(runs),
        unmet=_unmet(runs),
        command=document.command,
        facts=[("Meshtrial", document.meshtrial)] if document.meshtrial else [],
    )


def _runs(runs: Sequence[tuple[SuiteEntry, RunDocument | None]]) -> Table:
    rows = []
    for entry, document in runs:
        mark = mark_of(entry)
        said = top(document) if document and entry.headline else None
        link = f"{quote(entry.folder, errors='replace')}/{REPORT_FILE}" if entry.folder and document else ""
        seconds = words.elapsed(entry.started, entry.ended)
        cells = [
            Cell(entry.experiment, sub=entry.file, href=link),
            Cell(mark.word, tone=mark.tone, symbol=mark.symbol),
            Cell(checks_in_words(entry)),
            Cell(words.took(seconds) if seconds is not None else words.NONE),
            Cell(said.sentence if said and said.lines else entry.headline or entry.reason),
        ]
        rows.append(Row(cells, tone="" if entry.verdict else "muted"))
    head = [Column("Experiment"), Column("Verdict"), Column("Checks"), Column("Took", number=True), Column("Headline")]
    return simple("Every experiment and its verdict", head, rows)


def _unmet(runs: Sequence[tuple[SuiteEntry, RunDocument | None]]) -> Table:
    """The checks that did not hold, by experiment."""
    groups = []
    for entry, document in runs:
        rows = []
        for check in document.checks if document else []:
            if check.outcome != "held":
                mark = marks.CHECKS[check.outcome]
                rows.append(
                    Row(
                        [
                            Cell(check.check, code=True),
                            Cell(mark.word, tone=mark.tone, symbol=mark.symbol),
                            Cell(check.observed),
                            Cell(check.reason),
                        ]
                    )
                )
        if rows:
            groups.append(Group(rows, entry.experiment))
    head = [Column("Expected"), Column("Outcome"), Column("Observed"), Column("Why")]
    return Table("Checks that did not hold", head, groups)


def render(document: SuiteDocument, runs: Sequence[tuple[SuiteEntry, RunDocument | None]]) -> str:
    """The page as HTML, complete in itself but for the reports it leads to."""
    template = assets.environment().get_template("suite.html")
    return template.render(page=page(document, runs), style=assets.own("report.css"))


def with_documents(folder: SuiteFolder, document: SuiteDocument) -> list[tuple[SuiteEntry, RunDocument | None]]:
    """Every entry of a suite with its run's document, read from its folder; None where that can't be read."""
    found: list[tuple[SuiteEntry, RunDocument | None]] = []
    for entry in document.runs:
        run = folder.run_folder(entry)
        try:
            found.append((entry, run.document() if run else None))
        except InputError:
            found.append((entry, None))
    return found


def write_suite_report(folder: SuiteFolder) -> Path:
    """Write `report.html` into a suite's folder, from what the folder holds.

    Raises:
        InputError: `suite.json` is broken.
        StorageError: the page can't be written.
    """
    document = folder.document()
    return folder.write_report(render(document, with_documents(folder, document)))
