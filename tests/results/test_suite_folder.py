"""The suite's folder on disk."""

import json
from pathlib import Path

import pytest

from runner.errors import InputError, StorageError
from runner.results.document.run import MeshRecord, RunDocument
from runner.results.runs import find_runs
from runner.results.store import RunFolder
from runner.results.suite import SUITE_FILE, SuiteDocument, SuiteEntry, SuiteFolder


def test_it_holds_runs_that_list_finds(tmp_path):
    suite = SuiteFolder.create(tmp_path / "results")
    assert suite.path.name.startswith("suite-2")
    run = RunFolder.create(suite.path, "request timeout")
    run.write_document(RunDocument(experiment="request timeout", mesh=MeshRecord(kind="local")))
    entry = SuiteEntry(
        experiment="request timeout", file="a.yaml", folder=run.path.relative_to(suite.path).as_posix(), verdict="pass"
    )
    suite.write_document(SuiteDocument(runs=[entry], reason="\ud800 is half a character"))
    again = SuiteFolder.open(suite.path)
    assert again is not None
    assert again.document().runs == [entry]
    assert again.run_folder(entry).document().experiment == "request timeout"
    assert [found.path for found in find_runs(tmp_path / "results")] == [run.path]
    assert SuiteFolder.open(run.path) is None


def test_a_folder_that_nobody_may_look_into_hides_no_other_run(tmp_path, monkeypatch):
    run = RunFolder.create(tmp_path, "mine")
    (tmp_path / "locked").mkdir()
    exists = Path.exists

    def looked(path):
        if path.parent.name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", looked)
    assert [found.path for found in find_runs(tmp_path)] == [run.path]
    assert find_runs(tmp_path / "locked") == []


def test_a_folder_that_lies_elsewhere_or_is_gone_is_not_opened(tmp_path):
    suite = SuiteFolder.create(tmp_path)
    (tmp_path / "secret").mkdir()
    for folder in ("", "../secret", str(tmp_path / "secret"), "gone"):
        assert suite.run_folder(SuiteEntry(experiment="a", file="a.yaml", folder=folder)) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is not whole"), ('{"version": 2}', "version"), ('{"runs": 3}', "runs"), ("[]", "no suite")],
)
def test_a_broken_document_is_told(tmp_path, text, said):
    (tmp_path / SUITE_FILE).write_text(text)
    suite = SuiteFolder.open(tmp_path)
    assert suite is not None
    with pytest.raises(InputError, match=said):
        suite.document()


def test_what_newer_versions_add_is_ignored(tmp_path):
    suite = SuiteFolder.create(tmp_path)
    suite.write_document(SuiteDocument(verdict="fail"))
    path = suite.path / SUITE_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "mood": "good"}))
    assert suite.document().verdict == "fail"


def test_a_folder_that_can_not_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="a file is in the way"):
        SuiteFolder.create(tmp_path / "file")
