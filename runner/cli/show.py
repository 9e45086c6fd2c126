"""What a person and a pipe see of runs when they end, and what is written for them: reports, a suite's folder, the last line."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console

from runner.conduct.suite import suite_document
from runner.conduct.trial import rfc3339
from runner.errors import MeshtrialError, OutsideError
from runner.report.html import write_report
from runner.report.suite import render
from runner.report.suite_terminal import print_suite
from runner.report.terminal import print_summary
from runner.results.store import REPORT_FILE, RunFolder
from runner.results.suite import SuiteFolder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runner.conduct.suite import Outcome
    from runner.results.document.run import RunDocument
    from runner.results.suite import SuiteDocument, SuiteEntry
    from runner.spec.load import LoadedExperiment

_TOLD_BY_THE_SUMMARY = frozenset({1, 4, 5})
"""Exit codes whose cause stands in the summary already."""


@dataclass(slots=True)
class Shown:
    """The end of each run, and of all of them.

    Attributes:
        results: where run folders go: the results folder, or the suite's folder in it.
        suite: the suite's folder; None for a single run.
        command: the command line that repeats the suite.
    """

    results: Path
    suite: SuiteFolder | None = None
    command: str = ""
    _console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))
    _started: str = field(default_factory=lambda: rfc3339(time.time()))
    _documents: dict[int, RunDocument | None] = field(default_factory=dict)

    @classmethod
    def of(cls, experiments: Sequence[LoadedExperiment], results: Path, command: str) -> Shown:
        """For some experiments; several have a suite's folder, which is there from now on.

        Raises:
            StorageError: the folder can't be made.
        """
        if len(experiments) == 1:
            return cls(results)
        suite = SuiteFolder.create(results)
        return cls(suite.path, suite, command)

    def say(self, text: str) -> None:
        """A line on standard error."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def finished(self, outcomes: Sequence[Outcome], place: int) -> MeshtrialError | None:
        """Write and print one run's end; see `runner.conduct.suite.Finished`."""
        outcome = outcomes[place]
        self._documents[place] = outcome.document
        unwritten: MeshtrialError | None = None
        if outcome.result is not None:
            try:
                write_report(RunFolder(outcome.result.folder))
                report = f"report: {outcome.result.folder / REPORT_FILE}"
            except MeshtrialError as error:
                unwritten = error
                report = f"no report: {error}"
            print_summary(outcome.result.document, self._console)
            if outcome.error is not None and outcome.exit_code not in _TOLD_BY_THE_SUMMARY:
                self.say(f"meshtrial: {outcome.error}")
            self.say(report)
            print(outcome.result.folder, flush=True)
        elif self.suite is not None:
            self.say(f"meshtrial: {outcome.experiment.path}: {outcome.error}")
        if self.suite is not None:
            try:
                self._write_suite(self._suite_document(outcomes, over=False))
            except OutsideError as error:
                unwritten = unwritten or error
        return unwritten

    def end(self, outcomes: Sequence[Outcome]) -> None:
        """Write and print the suite's end; of a single run there is nothing more to say."""
        if self.suite is None:
            return
        document = self._suite_document(outcomes, over=True)
        print_suite(document, self._console)
        try:
            self._write_suite(document)
            self.say(f"report: {self.suite.path / REPORT_FILE}")
        except OutsideError as error:
            self.say(f"no report: {error}")
        print(self.suite.path, flush=True)

    def runs(self, outcomes: Sequence[Outcome]) -> list[tuple[SuiteEntry, RunDocument | None]]:
        """Every outcome as it is told outside of the suite's folder, with its run's document."""
        return [(outcome.entry(), self._documents.get(place)) for place, outcome in enumerate(outcomes)]

    def _suite_document(self, outcomes: Sequence[Outcome], *, over: bool) -> SuiteDocument:
        return suite_document(outcomes, self.results, started=self._started, command=self.command, over=over)

    def _write_suite(self, document: SuiteDocument) -> None:
        if self.suite is not None:
            self.suite.write_document(document)
            runs = [(entry, self._documents.get(place)) for place, entry in enumerate(document.runs)]
            self.suite.write_report(render(document, runs))
