"""The end of a suite in the terminal: one verdict, one line for each experiment; good in 80 columns and without colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from runner.report import marks
from runner.report.markdown import checks_in_words
from runner.report.suite import mark_of
from runner.report.terminal import STYLES, plain_table, plain_text

if TYPE_CHECKING:
    from rich.console import Console

    from runner.results.suite import SuiteDocument


def print_suite(document: SuiteDocument, console: Console) -> None:
    """Print what a suite came to.

    Args:
        document: the suite.
        console: where to; its width, colours and encoding are respected.
    """
    table = plain_table()
    table.add_column("Verdict", no_wrap=True)
    table.add_column("Experiment", overflow="fold")
    table.add_column("Checks", overflow="fold")
    for entry in document.runs:
        mark = mark_of(entry)
        said = Text(plain_text(entry.experiment, console))
        if entry.reason and entry.verdict != "pass":
            said.append(f"\n{plain_text(entry.reason, console)}", style="dim")
        verdict = Text(plain_text(f"{mark.symbol} {mark.word}", console), style=STYLES[mark.tone])
        table.add_row(verdict, said, Text(plain_text(checks_in_words(entry), console)))
    console.print()
    console.print(table)
    console.print()
    whole = marks.VERDICTS[document.verdict]
    line = Text(plain_text(f"{whole.symbol} {whole.word}", console), style=STYLES[whole.tone])
    line.append(plain_text(f"  {document.reason}", console), style="default")
    console.print(line)
