"""Several experiments as one run: all of them tried before the first starts, meshes shared, every outcome kept."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from runner import __version__
from runner.conduct.drivers import try_load_files
from runner.conduct.meshes import Meshes
from runner.conduct.plan import make_plan
from runner.conduct.preview import preview
from runner.conduct.run import EXIT_CODES, RunOptions, RunResult, run
from runner.conduct.stopping import Stopping
from runner.conduct.trial import rfc3339
from runner.errors import InputError, MeshtrialError, StoppedError
from runner.results.document.run import Verdict
from runner.results.redact import Redactor
from runner.results.suite import CheckCounts, SuiteDocument, SuiteEntry
from runner.state import work_directory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from runner.conduct.plan import Plan
    from runner.conduct.progress import Progress
    from runner.conduct.run import Method
    from runner.errors import Problem
    from runner.results.document.run import RunDocument
    from runner.spec.load import LoadedExperiment

EXIT_ORDER = (130, 143, 129, 3, 2, 4, 1, 5, 0)
"""Of several runs, the first of these that occurred is the exit code."""
_SAID = (
    (Verdict.ERROR, "could not be finished", "could not be finished"),
    (Verdict.ABORTED, "was aborted", "were aborted"),
    (Verdict.FAIL, "failed", "failed"),
    (Verdict.INCONCLUSIVE, "was inconclusive", "were inconclusive"),
    (None, "was not run", "were not run"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one experiment.

    Attributes:
        experiment: what was to be done.
        started: when, RFC 3339 UTC; empty when it was not run.
        ended: the same.
        result: the run's; None when it ended before it had a folder, or was not run.
        error: what ended it early, or could not be written after it, if something did.
    """

    experiment: LoadedExperiment
    started: str = ""
    ended: str = ""
    result: RunResult | None = None
    error: MeshtrialError | None = None

    @property
    def exit_code(self) -> int | None:
        """What the run alone would exit with; None when it was not run."""
        if self.result is not None and self.result.exit_code:
            return self.result.exit_code
        if self.error is not None:
            return self.error.exit_code
        return None if self.result is None else 0

    @property
    def document(self) -> RunDocument | None:
        """The run's document, without values from the environment; None when there is none. Made anew at every call."""
        if self.result is None:
            return None
        document = self.result.document
        redactor = Redactor(self.experiment.secrets)
        return document.model_validate(redactor.data(document.model_dump(mode="json")))

    def entry(self, suite: Path | None = None) -> SuiteEntry:
        """The outcome as it is written.

        Args:
            suite: the suite's folder, which the run's folder is named from; the run's own path when None.
        """
        code, hide = self.exit_code, Redactor(self.experiment.secrets).text
        entry = SuiteEntry(
            experiment=self.experiment.experiment.experiment,
            file=str(self.experiment.path),
            exit_code=code,
            reason=hide(str(self.error)) if self.error else "",
            started=self.started,
            ended=self.ended,
        )
        if self.result is None:
            entry.verdict = None if code is None else verdict_of(code)
            return entry
        document, folder = self.result.document, self.result.folder
        entry.verdict = document.verdict
        if document.verdict is Verdict.PASS and code:  # its report could not be written
            entry.verdict = verdict_of(code)
        elif document.reason:
            entry.reason = hide(document.reason)
        entry.headline = hide(document.headline)
        entry.folder = (folder.relative_to(suite) if suite else folder).as_posix()
        counts = Counter(check.outcome for check in document.checks)
        entry.checks = CheckCounts(held=counts["held"], failed=counts["failed"], inconclusive=counts["inconclusive"])
        return entry


class Show(Protocol):
    """How a run is shown while it goes on."""

    def __call__(self, experiment: str) -> AbstractContextManager[Progress]:
        """Progress for one experiment."""
        ...


class Finished(Protocol):
    """Told of every outcome as soon as it is known."""

    def __call__(self, outcomes: Sequence[Outcome], place: int) -> MeshtrialError | None:
        """The run at `place` is over; returns what could not be written, if something could not."""
        ...


def verdict_of(exit_code: int) -> Verdict:
    """The verdict that an exit code stands for."""
    if exit_code >= 128:  # noqa: PLR2004 - a signal
        return Verdict.ABORTED
    return next((verdict for verdict, code in EXIT_CODES.items() if code == exit_code), Verdict.ERROR)


def exit_code_of(outcomes: Sequence[Outcome]) -> int:
    """The exit code of some runs together; 3 when none of them was run."""
    codes = {outcome.exit_code for outcome in outcomes}
    return next((code for code in EXIT_ORDER if code in codes), 3)


def suite_document(
    outcomes: Sequence[Outcome], folder: Path, *, started: str, command: str = "", over: bool = True
) -> SuiteDocument:
    """What some runs came to together, as it is written.

    Args:
        outcomes: one for each experiment, those not run (yet) too.
        folder: the suite's.
        started: when, RFC 3339 UTC.
        command: the command line.
        over: whether there will be no more; until then the suite counts as one that did not finish.
    """
    entries = [outcome.entry(folder) for outcome in outcomes]
    document = SuiteDocument(meshtrial=__version__, started=started, command=command, runs=entries)
    if over:
        document.exit_code = exit_code_of(outcomes)
        document.verdict = verdict_of(document.exit_code)
        document.reason = together(entries)
        document.ended = rfc3339(time.time())
    else:
        document.reason = "the suite did not finish"
    return document


def together(entries: Sequence[SuiteEntry]) -> str:
    """What some runs came to, in a sentence, such as `1 of 3 experiments failed: a; 2 were inconclusive: b, c`."""
    whole = "experiment" if len(entries) == 1 else "experiments"
    parts: list[str] = []
    for verdict, one, many in _SAID:
        names = [entry.experiment for entry in entries if entry.verdict is verdict]
        if names:
            of = f" of {len(entries)} {whole}" if not parts else ""
            parts.append(f"{len(names)}{of} {one if len(names) == 1 else many}: {', '.join(names)}")
    if parts:
        return "; ".join(parts) + "."
    return f"All {len(entries)} experiments passed." if len(entries) > 1 else "The one experiment passed."


def try_all(experiments: Sequence[LoadedExperiment]) -> list[list[Problem]]:
    """Find out all that is wrong with some experiments before any of them starts: manifests, states, load files.

    Returns:
        One list for each experiment.

    Raises:
        DriverError: a generator could not be started, for another reason than its load file.
    """
    problems: list[list[Problem]] = []
    plans: list[Plan | None] = []
    for experiment in experiments:
        plan, found = None, []
        try:
            plan = make_plan(experiment, 0)
            preview(plan)
        except InputError as error:
            found = error.problems
        plans.append(plan)
        problems.append(found)
    with work_directory() as folder:
        tried = try_load_files(plans, folder)
    return [mine + more for mine, more in zip(problems, tried, strict=True)]


def run_all(
    experiments: Sequence[LoadedExperiment],
    options: Sequence[RunOptions],
    show: Show,
    finished: Finished,
    *,
    fail_fast: bool = False,
    method: Method | None = None,
) -> list[Outcome]:
    """Carry experiments out one after the other; an experiment that goes wrong does not keep the others from running.

    Args:
        experiments: what to do, in order.
        options: how, one for each experiment.
        show: makes the progress of each run.
        finished: called after every run.
        fail_fast: stop after the first one that failed, was aborted or could not be finished (inconclusive ones don't stop it).
        method: of each run; trials in blocks when None.

    Returns:
        One outcome for each experiment, in order; after a signal or with `fail_fast` the last ones may not have been run.
    """
    outcomes = [Outcome(experiment) for experiment in experiments]
    with Stopping() as stopping, Meshes(fresh=options[0].fresh, keep=options[0].keep) as meshes:
        for place, experiment in enumerate(experiments):
            meshes.later = [later.experiment.mesh for later in experiments[place + 1 :]]
            begun = replace(outcomes[place], started=rfc3339(time.time()))
            try:
                stopping.check()
                with show(experiment.experiment.experiment) as progress:
                    begun = replace(begun, result=run(experiment, options[place], progress, meshes, stopping, method))
                error = begun.result.error if begun.result else None
            except MeshtrialError as caught:
                error = caught
            outcomes[place] = replace(begun, error=error, ended=rfc3339(time.time()))
            unwritten = finished(outcomes, place)
            outcomes[place] = replace(outcomes[place], error=error or unwritten)
            if isinstance(error, StoppedError) or (fail_fast and outcomes[place].exit_code not in {0, 5}):
                break
    return outcomes
