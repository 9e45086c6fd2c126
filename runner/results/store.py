"""The run folder on disk, written so that a crash at any point leaves one that can be read.

    results/<experiment>/<UTC time>-<id>/
      run.json        the run document; there from the start (as "did not finish"), replaced after every trial
      trials/         one gzipped JSON file per trial: `03-timeout-500ms.json.gz`; beside it the generator's own result where
                      it has one, for its own tools: `03-timeout-500ms.fortio.json`
      manifests/      what was applied, byte for byte, by variant (`setup` for all of them)
      log.jsonl       what happened when
      report.html     written by the report

Every file but the log is written beside its name, synced and renamed, so that it is whole or not there.
"""

from __future__ import annotations

import gzip
import json
import secrets as randomness
import zlib
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from runner.errors import InputError, Problem, StorageError
from runner.results.document.run import RunDocument, Verdict
from runner.results.files import collector_paused, safe_name, storage_error, write_atomic
from runner.results.redact import Redactor
from runner.results.trial import TrialFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from runner.results.window import Native

RUN_FILE = "run.json"
LOG_FILE = "log.jsonl"
REPORT_FILE = "report.html"
TRIALS = "trials"
MANIFESTS = "manifests"
SETUP = "setup"
DID_NOT_FINISH = "the run did not finish"

_COMPRESSION = 5
_NATIVE_RESULTS = (".fortio.json",)
"""Endings of files that are a generator's own, and no trial files."""


class RunFolder:
    """One run's folder.

    Args:
        path: the folder, which exists (`create` makes one, `open` checks one).
        secrets: values that must never reach a file; they are replaced by `***`.
    """

    def __init__(self, path: Path, *, secrets: Iterable[str] = ()) -> None:
        self.path = path
        self._redactor = Redactor(secrets)

    @classmethod
    def create(cls, root: Path, experiment: str, *, secrets: Iterable[str] = ()) -> RunFolder:
        """A new folder `<root>/<experiment>/<UTC time>-<id>/`.

        Raises:
            StorageError: it can't be made.
        """
        parent = root / safe_name(experiment)
        path = parent / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{randomness.token_hex(3)}"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            path.mkdir()
            (path / TRIALS).mkdir()
            (path / MANIFESTS).mkdir()
        except OSError as error:
            raise storage_error(path, error) from None
        return cls(path, secrets=secrets)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """A folder that a run left.

        Raises:
            InputError: there is no run folder at `path`.
        """
        if not path.is_dir():
            raise InputError(Problem(f"{path}: no such run folder", suggestion="`meshtrial list` shows them"))
        if not (path / RUN_FILE).is_file():
            raise InputError(
                Problem(f"{path} is no run folder: it has no {RUN_FILE}", suggestion="`meshtrial list` shows them")
            )
        return cls(path)

    # -- the document

    def write_document(self, document: RunDocument) -> None:
        """Write `run.json`, whole or not at all.

        A document without an end and a reason is a run under way: it says that the run did not finish, which is
        true until it is replaced.

        Raises:
            StorageError: the disk is full or the folder can't be written.
        """
        data = document.model_dump(mode="json")
        if document.verdict is Verdict.ERROR and not document.ended and not document.reason:
            data["reason"] = DID_NOT_FINISH
        text = json.dumps(self._redactor.data(data), ensure_ascii=False, indent=1)
        self._write(RUN_FILE, text.encode() + b"\n")

    def document(self) -> RunDocument:
        """The run document.

        Raises:
            InputError: `run.json` is missing, broken, or of a newer version than this one knows.
        """
        path = self.path / RUN_FILE
        try:
            data = json.loads(path.read_bytes())
        except OSError as error:
            raise InputError(Problem(f"{path}: {error.strerror or error}")) from None
        except ValueError as error:
            raise InputError(Problem(f"{path} is not whole: {error}")) from None
        version = data.get("version") if isinstance(data, dict) else None
        if isinstance(version, int) and version > 1:
            raise InputError(
                Problem(
                    f"{path} has version {version}, this program reads version 1", suggestion="Use a newer meshtrial"
                )
            )
        try:
            return RunDocument.model_validate(data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(step) for step in first["loc"]) or "the document"
            raise InputError(Problem(f"{path} is no run document: {where}: {first['msg']}")) from None

    # -- trials

    def write_trial(self, trial: TrialFile) -> str:
        """Write one trial's file and return its name relative to the folder.

        Raises:
            StorageError: the disk is full or the folder can't be written.
        """
        name = f"{_trial_stem(trial)}.json.gz"
        data = self._redactor.data(trial.to_json())
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        self._write(name, gzip.compress(text.encode(), compresslevel=_COMPRESSION, mtime=0))
        return name

    def write_native(self, trial: TrialFile, native: Native) -> str:
        """Write the generator's own result of a trial and return its name relative to the folder.

        Raises:
            StorageError: the disk is full or the folder can't be written.
        """
        name = f"{_trial_stem(trial)}.{safe_name(native.generator)}.json"
        self._write(name, self._redactor.content(native.content))
        return name

    def trials(self) -> Iterator[TrialFile]:
        """All trials, in order of block, variant and attempt.

        Raises:
            StorageError: a file is damaged.
        """
        for name in self.trial_files():
            yield self.trial(name)

    def trial_files(self) -> list[str]:
        """Names of all trial files, relative to the folder, in order of block, variant and attempt."""
        folder = self.path / TRIALS
        names = [path.name for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
        found = [
            name
            for name in names
            if name.endswith((".json.gz", ".json"))
            and not name.endswith(_NATIVE_RESULTS)
            and name.split("-")[0].isdigit()
        ]
        return [f"{TRIALS}/{name}" for name in sorted(found, key=lambda name: (int(name.split("-")[0]), name))]

    def trial(self, file: str) -> TrialFile:
        """The trial in `file` (relative to the folder, plain or gzipped JSON).

        Raises:
            StorageError: the file is missing or damaged.
        """
        path = self._inside(file)
        try:
            content = path.read_bytes()
            if path.suffix == ".gz":
                content = gzip.decompress(content)
            with collector_paused():
                return TrialFile.from_json(json.loads(content))
        except FileNotFoundError:
            raise StorageError(f"{path}: no such trial file", advice="The report can be made without it") from None
        except (OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, zlib.error) as error:
            raise StorageError(
                f"{path} is damaged ({type(error).__name__}: {error})",
                advice=f"Take the folder from a backup, or move that file away; {RUN_FILE} holds every figure",
            ) from None

    # -- manifests

    def add_manifest(self, variant: str | None, name: str, content: bytes) -> str:
        """Keep a manifest as it was applied and return its name relative to the folder.

        Args:
            variant: whose it is; None for the experiment's `setup`.
            name: as the experiment file names it; only the last part is kept. `inline` for a resource written there.
            content: its bytes, kept as they are (but for secrets).

        Raises:
            StorageError: the disk is full or the folder can't be written.
        """
        folder = f"{MANIFESTS}/{SETUP if variant is None else _variant_folder(variant)}"
        content = self._redactor.content(content)
        stem, dot, suffix = PurePosixPath(name.replace("\\", "/")).name.rpartition(".")
        stem, ending = (safe_name(stem), f".{safe_name(suffix)}") if dot and stem else (safe_name(suffix), ".yaml")
        number = 1
        while True:
            file = f"{folder}/{stem}{f'-{number}' if number > 1 else ''}{ending}"
            try:
                if (self.path / file).read_bytes() == content:
                    return file
            except FileNotFoundError:
                self._write(file, content)
                return file
            except OSError as error:
                raise storage_error(self.path / file, error) from None
            number += 1

    def manifest_text(self, file: str) -> str:
        """The text of a manifest (bytes that are no UTF-8 are shown as such).

        Raises:
            StorageError: the file is missing or can't be read.
        """
        path = self._inside(file)
        try:
            return path.read_bytes().decode("utf-8", "backslashreplace")
        except OSError as error:
            raise StorageError(
                f"{path}: {error.strerror or error}", advice="Was the run folder copied whole?"
            ) from None

    # -- log and report

    def log(self, event: str, **fields: Any) -> None:
        """Append one line to `log.jsonl`: the UTC time, the event, and what belongs to it.

        Raises:
            StorageError: the disk is full or the folder can't be written.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        # Plain data first (a path becomes text), then redacted: JSON's escapes must not hide a secret.
        data = json.loads(json.dumps(fields, default=str))
        line = json.dumps(self._redactor.data({"time": now, "event": event} | data), ensure_ascii=False)
        path = self.path / LOG_FILE
        try:
            with path.open("ab", buffering=0) as file:  # one write: lines of two threads never mix
                file.write(line.encode() + b"\n")
        except OSError as error:
            raise storage_error(path, error) from None

    def write_report(self, html: str) -> Path:
        """Write `report.html`, whole or not at all, and return its path.

        Raises:
            StorageError: the disk is full or the folder can't be written.
        """
        self._write(REPORT_FILE, html.encode())
        return self.path / REPORT_FILE

    # -- files

    def _write(self, name: str, content: bytes) -> None:
        write_atomic(self.path / name, content)

    def _inside(self, file: str) -> Path:
        """The path of `file`, which a run.json of unknown origin may name, kept within the folder."""
        path = (self.path / file).resolve()
        if not path.is_relative_to(self.path.resolve()):
            raise StorageError(f"{file} lies outside the run folder {self.path}", advice="The run document was altered")
        return path


def _trial_stem(trial: TrialFile) -> str:
    attempt = f"~attempt{trial.attempt}" if trial.attempt > 1 else ""
    return f"{TRIALS}/{trial.block:02d}-{safe_name(trial.variant)}{attempt}"


def _variant_folder(variant: str) -> str:
    return f"{SETUP}~variant" if variant == SETUP else safe_name(variant)
