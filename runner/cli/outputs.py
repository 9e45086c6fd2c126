"""What `run` leaves beside run folders: a suite's folder, JUnit XML and a Markdown summary, written whatever happened."""

from __future__ import annotations

import contextlib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.errors import MeshtrialError, OutsideError, StorageError
from runner.results.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.results.document.run import RunDocument
    from runner.results.suite import SuiteEntry

    Runs = Sequence[tuple[SuiteEntry, RunDocument | None]]


def _output_file(_context: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    """A path that can be written, found out before anything is started."""
    if value is None:
        return None
    if str(value) == "-":
        raise click.BadParameter("takes a file: standard output ends with the run folder", param=parameter)
    if value.parent.exists() and not value.parent.is_dir():
        raise click.BadParameter(f"{value.parent} is no folder", param=parameter)
    return value


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--junit` and `--summary`."""
    file = click.Path(dir_okay=False, writable=True, path_type=Path)
    for name, text in (
        ("--summary", "Write a Markdown summary there, for a pull request."),
        ("--junit", "Write JUnit XML there, one testcase for each check."),
    ):
        command = click.option(name, type=file, metavar="FILE", callback=_output_file, help=text)(command)
    return command


@dataclass(slots=True)
class Outputs:
    """The files that a command writes for its caller.

    Attributes:
        junit: where JUnit XML goes, if anywhere.
        summary: where the Markdown summary goes, if anywhere.
        written: whether they were written, or tried.
    """

    junit: Path | None = None
    summary: Path | None = None
    written: bool = False

    def write(self, exit_code: int, reason: str, runs: Runs) -> None:
        """Write what was asked for; a file of an earlier run must never be taken for this one's.

        Args:
            exit_code: of the command.
            reason: why, in one sentence.
            runs: every experiment with its run's document.

        Raises:
            StorageError: a file can't be written (the other one is tried all the same).
        """
        from runner.conduct.suite import verdict_of  # noqa: PLC0415 - keeps --help quick
        from runner.report.junit import junit  # noqa: PLC0415 - the same
        from runner.report.markdown import markdown  # noqa: PLC0415 - the same

        self.written = True
        failed: list[MeshtrialError] = []
        contents = [
            (self.junit, junit(runs) if self.junit else b""),
            (self.summary, markdown(verdict_of(exit_code), reason, runs).encode() if self.summary else b""),
        ]
        for path, content in contents:
            if path is not None:
                try:
                    _write(path, content)
                except StorageError as error:
                    failed.append(error)
        if failed:
            raise failed[0]

    def without_runs(self, paths: Sequence[Path], reasons: Sequence[str], exit_code: int) -> None:
        """Write why no run came to its end, when nothing was written yet.

        Args:
            paths: the experiments' files.
            reasons: one for each of them; empty for one that could have been run.
            exit_code: of the command.

        Raises:
            StorageError: a file can't be written.
        """
        if self.written:
            return
        from runner.conduct.suite import together, verdict_of  # noqa: PLC0415 - keeps --help quick
        from runner.results.suite import SuiteEntry  # noqa: PLC0415 - the same

        runs: list[tuple[SuiteEntry, RunDocument | None]] = []
        for path, reason in zip(paths, reasons, strict=True):
            entry = SuiteEntry(experiment=path.stem, file=str(path))
            if reason:
                entry.verdict, entry.exit_code, entry.reason = verdict_of(exit_code), exit_code, reason
            runs.append((entry, None))
        self.write(exit_code, together([entry for entry, _ in runs]), runs)

    def cut_short(self, paths: Sequence[Path], error: BaseException) -> None:
        """Write what ended the command early, when nothing was written yet; never in the way of that error."""
        if not isinstance(error, MeshtrialError):
            error = OutsideError(f"meshtrial ended early ({type(error).__name__})")
        with contextlib.suppress(MeshtrialError):
            self.without_runs(paths, [str(error)] * len(paths), error.exit_code)


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; a pipe or a device as it is.

    Raises:
        StorageError: it can't be written.
    """
    try:
        special = path.exists() and not stat.S_ISREG(path.stat().st_mode)
        if special:
            path.write_bytes(content)
        else:
            write_atomic(path.resolve(), content)
    except OSError as error:
        raise StorageError(f"{path} could not be written: {error.strerror or error}") from None
