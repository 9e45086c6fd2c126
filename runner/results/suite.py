"""A suite: several experiments carried out as one run, with one verdict, in one folder.

results/suite-<UTC time>-<id>/
  suite.json                        the document below; there from the start, replaced after every run
  report.html                       the verdict table, with a link to each run's report
  <experiment>/<UTC time>-<id>/     each run's folder, as for a run by itself
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError

from runner.errors import InputError, Problem
from runner.results.document import Record
from runner.results.document.run import Verdict
from runner.results.files import storage_error, write_atomic
from runner.results.store import REPORT_FILE, RunFolder

if TYPE_CHECKING:
    from pathlib import Path

SUITE_FILE = "suite.json"


class CheckCounts(Record):
    """How a run's checks came out."""

    held: int = 0
    failed: int = 0
    inconclusive: int = 0


class SuiteEntry(Record):
    """One experiment of a suite.

    `verdict` and `exit_code` are None for one that was not run: the suite was stopped before, or is under way.
    """

    experiment: str
    file: str
    """The experiment file as it was named on the command line."""
    folder: str = ""
    """The run folder, relative to the suite's; empty when the run ended before it had one."""
    verdict: Verdict | None = None
    exit_code: int | None = None
    reason: str = ""
    headline: str = ""
    checks: CheckCounts = Field(default_factory=CheckCounts)
    started: str = ""
    ended: str = ""


class SuiteDocument(Record):
    """`suite.json`: what every experiment came to, and all of them together."""

    version: Literal[1] = 1
    verdict: Verdict = Verdict.ERROR
    """The worst of the runs: error, aborted, fail, inconclusive, pass."""
    exit_code: int | None = None
    """None while the suite is under way, and for one that did not finish."""
    reason: str = ""
    started: str = ""
    ended: str = ""
    meshtrial: str = ""
    command: str = ""
    runs: list[SuiteEntry] = Field(default_factory=list)


class SuiteFolder:
    """One suite's folder.

    Args:
        path: the folder, which exists (`create` makes one, `open` checks one).
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, root: Path) -> SuiteFolder:
        """A new folder `<root>/suite-<UTC time>-<id>/`.

        Raises:
            StorageError: it can't be made.
        """
        path = root / f"suite-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        try:
            root.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except OSError as error:
            raise storage_error(path, error) from None
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> SuiteFolder | None:
        """The suite's folder at `path`; None when there is no suite (but perhaps a run)."""
        return cls(path) if (path / SUITE_FILE).is_file() else None

    def write_document(self, document: SuiteDocument) -> None:
        """Write `suite.json`, whole or not at all.

        Raises:
            StorageError: the disk is full or the folder can't be written.
        """
        text = json.dumps(document.model_dump(mode="json"), ensure_ascii=False, indent=1)
        write_atomic(self.path / SUITE_FILE, text.encode("utf-8", "replace") + b"\n")

    def document(self) -> SuiteDocument:
        """The suite's document.

        Raises:
            InputError: `suite.json` is broken, or of a newer version than this one knows.
        """
        path = self.path / SUITE_FILE
        try:
            return SuiteDocument.model_validate(json.loads(path.read_bytes()))
        except OSError as error:
            raise InputError(Problem(f"{path}: {error.strerror or error}")) from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(step) for step in first["loc"]) or "the document"
            raise InputError(Problem(f"{path} is no suite document: {where}: {first['msg']}")) from None
        except ValueError as error:
            raise InputError(Problem(f"{path} is not whole: {error}")) from None

    def run_folder(self, entry: SuiteEntry) -> RunFolder | None:
        """A run's folder within the suite's; None when it is not there (any more)."""
        path = (self.path / entry.folder).resolve()
        inside = entry.folder and path.is_relative_to(self.path.resolve())
        return RunFolder(path) if inside and path.is_dir() else None

    def write_report(self, html: str) -> Path:
        """Write `report.html`, whole or not at all, and return its path.

        Raises:
            StorageError: the disk is full or the folder can't be written.
        """
        write_atomic(self.path / REPORT_FILE, html.encode("utf-8", "replace"))
        return self.path / REPORT_FILE
