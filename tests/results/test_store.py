from __future__ import annotations

import errno
import gzip
import json
import os
import re
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import InputError, StorageError
from runner.results.document.run import MeshRecord, RunDocument, Verdict
from runner.results.files import safe_name, write_atomic
from runner.results.runs import find_runs
from runner.results.store import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    from runner.results.trial import TrialFile

SECRET = "hunter2-hunter2"  # noqa: S105 - the test looks for it


def contents(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            found[str(path.relative_to(folder))] = gzip.decompress(content) if path.suffix == ".gz" else content
    return found


def test_the_folder_is_named_by_experiment_and_utc_time(tmp_path: Path) -> None:
    first = RunFolder.create(tmp_path, "request-timeout")
    second = RunFolder.create(tmp_path, "request-timeout")
    assert first.path.parent == tmp_path / "request-timeout"
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", first.path.name)
    assert first.path != second.path


def test_a_document_comes_back_as_it_was(tmp_path: Path, document: RunDocument) -> None:
    folder = RunFolder.create(tmp_path, "circuit-breaker")
    folder.write_document(document)
    assert RunFolder.open(folder.path).document() == document
    data = json.loads((folder.path / "run.json").read_text())
    assert data["version"] == 1
    assert data["variants"][0]["trials"][0]["latency_ms"]["p99.9"] == 4.0
    assert data["variants"][0]["trials"][1]["invalid_because"] == ["lag", "drift"]


def test_a_run_under_way_says_that_it_did_not_finish(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "x")
    folder.write_document(RunDocument(experiment="x", mesh=MeshRecord(kind="local")))
    read = folder.document()
    assert (read.verdict, read.reason) == (Verdict.ERROR, "the run did not finish")
    folder.write_document(RunDocument(experiment="x", mesh=MeshRecord(kind="local"), reason="port 8080 is taken"))
    assert folder.document().reason == "port 8080 is taken"


def test_trials_come_back_in_order(tmp_path: Path, trial: TrialFile) -> None:
    folder = RunFolder.create(tmp_path, "x")
    names = []
    for variant, block, attempt in [("b", 10, 1), ("b", 2, 1), ("a", 2, 2), ("a", 2, 1), ("b", 100, 1)]:
        trial.variant, trial.block, trial.attempt = variant, block, attempt
        names.append(folder.write_trial(trial))
    assert names[1] == "trials/02-b.json.gz"
    assert names[2] == "trials/02-a~attempt2.json.gz"
    read = list(folder.trials())
    assert [(t.block, t.variant, t.attempt) for t in read] == [
        *((2, "a", 1), (2, "a", 2), (2, "b", 1), (10, "b", 1), (100, "b", 1)),
    ]
    assert folder.trial(names[4]) == trial


def test_plain_json_trials_are_read_too(tmp_path: Path, trial: TrialFile) -> None:
    folder = RunFolder.create(tmp_path, "x")
    (folder.path / "trials" / "01-a.json").write_text(json.dumps(trial.to_json()))
    assert list(folder.trials()) == [trial]


@pytest.mark.parametrize(
    "content", [b"", b"\x1f\x8b\x08", gzip.compress(b'{"variant": "a"}', mtime=0), gzip.compress(b"[]", mtime=0), b"{}"]
)
def test_a_damaged_trial_is_named(tmp_path: Path, content: bytes) -> None:
    folder = RunFolder.create(tmp_path, "x")
    (folder.path / "trials" / "01-a.json.gz").write_bytes(content)
    with pytest.raises(StorageError, match=r"01-a\.json\.gz is damaged .*run\.json holds every figure"):
        list(folder.trials())
    with pytest.raises(StorageError, match="no such trial file"):
        folder.trial("trials/09-a.json.gz")


def test_equal_trials_give_equal_files(tmp_path: Path, trial: TrialFile) -> None:
    one, two = RunFolder.create(tmp_path, "x"), RunFolder.create(tmp_path, "x")
    name = one.write_trial(trial)
    assert two.write_trial(trial) == name
    assert (one.path / name).read_bytes() == (two.path / name).read_bytes()


def test_manifests_are_kept_byte_for_byte(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "x")
    odd = b"a: 1\r\nb: \xff\n"
    assert folder.add_manifest(None, "istio/rules.yaml", odd) == "manifests/setup/rules.yaml"
    assert folder.add_manifest("fast", "../shared/rules.yaml", b"c") == "manifests/fast/rules.yaml"
    assert folder.add_manifest("fast", "other/rules.yaml", b"d") == "manifests/fast/rules-2.yaml"
    assert folder.add_manifest("fast", "again/rules.yaml", b"c") == "manifests/fast/rules.yaml"
    assert folder.add_manifest("fast", "inline", b"e") == "manifests/fast/inline.yaml"
    assert folder.add_manifest("fast", "inline", b"f") == "manifests/fast/inline-2.yaml"
    assert folder.add_manifest("setup", "rules.yaml", b"g") == "manifests/setup~variant/rules.yaml"
    assert folder.add_manifest("../..", "/etc/..", b"h").startswith("manifests/")
    assert (folder.path / "manifests/setup/rules.yaml").read_bytes() == odd
    assert folder.manifest_text("manifests/setup/rules.yaml") == "a: 1\r\nb: \\xff\n"
    assert sorted(tmp_path.iterdir()) == [tmp_path / "x"]


def test_nothing_outside_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "private").write_text("private")
    folder = RunFolder.create(tmp_path, "x")
    for file in ("../../private", str(tmp_path / "private")):
        with pytest.raises(StorageError, match="outside the run folder"):
            folder.manifest_text(file)
        with pytest.raises(StorageError, match="outside the run folder"):
            folder.trial(file)
    with pytest.raises(StorageError, match="Was the run folder copied whole"):
        folder.manifest_text("manifests/setup/gone.yaml")


def test_the_log_has_a_utc_time_and_an_event_on_every_line(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "x")
    folder.log("run started", seed=7, path=tmp_path)
    threads = [threading.Thread(target=lambda n=n: [folder.log("tick", n=n, i=i) for i in range(25)]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [json.loads(line) for line in (folder.path / "log.jsonl").read_text().splitlines()]
    assert len(lines) == 101
    assert lines[0] | {"time": ""} == {"time": "", "event": "run started", "seed": 7, "path": str(tmp_path)}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]) for line in lines)
    assert sorted((line["n"], line["i"]) for line in lines[1:]) == [(n, i) for n in range(4) for i in range(25)]


def test_secrets_reach_no_file(tmp_path: Path, document: RunDocument, trial: TrialFile) -> None:
    awkward = "p\"ss\\w'rd & more\n"
    folder = RunFolder.create(tmp_path, "x", secrets=[SECRET, awkward, ""])
    document.command = f"meshtrial run x.yaml --set token={SECRET} --set other={awkward}"
    document.variants[0].exceptions[f"Refused {SECRET}"] = 1
    folder.write_document(document)
    folder.write_trial(trial)
    folder.add_manifest("a", "inline", f'token: "{SECRET}"\nother: {json.dumps(awkward)}'.encode())
    folder.log("request", headers={"Authorization": f"Bearer {SECRET}"}, path=tmp_path / SECRET, other=awkward)
    everything = contents(folder.path)
    assert len(everything) == 4
    for name, content in everything.items():
        assert SECRET.encode() not in content, name
        assert b"ss\\w" not in content, name
        assert b"ss\\\\w" not in content, name
        assert b"***" in content, name
    assert folder.document().variants[0].exceptions == {"Refused ***": 1}
    assert next(folder.trials()).access_log[0].path == "/productpage?token=***"


def test_a_secret_that_is_one_of_our_words_breaks_nothing(
    tmp_path: Path, document: RunDocument, trial: TrialFile
) -> None:
    folder = RunFolder.create(tmp_path, "x", secrets=["pass", "p50", "local", "200", "window", "n", "better"])
    folder.write_document(document)
    folder.write_trial(trial)
    read = folder.document()
    assert (read.verdict, read.mesh.kind) == (Verdict.PASS, "local")
    assert read.variants[0].trials[0].status == {"200": 6, "0": 2}
    assert next(folder.trials()).window == trial.window


def test_a_document_that_cannot_be_read_says_why(tmp_path: Path, document: RunDocument) -> None:
    with pytest.raises(InputError, match="no such run folder"):
        RunFolder.open(tmp_path / "gone")
    with pytest.raises(InputError, match=r"has no run\.json"):
        RunFolder.open(tmp_path)
    folder = RunFolder.create(tmp_path, "x")
    with pytest.raises(InputError, match="No such file"):
        folder.document()
    run = folder.path / "run.json"
    for content, said in [
        ('{"version": 1, "exp', "is not whole"),
        ('{"version": 2}', "version 2, this program reads version 1"),
        ('{"version": 1}', "experiment: Field required"),
        ("[]", "no run document"),
    ]:
        run.write_text(content)
        with pytest.raises(InputError, match=said):
            RunFolder.open(folder.path).document()
    newer = document.model_dump(mode="json") | {"a_field_of_next_year": 1}
    run.write_text(json.dumps(newer))
    assert folder.document() == document


def test_a_file_where_a_folder_should_be_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"a file is in the way.*--results"):
        RunFolder.create(tmp_path / "file", "x")


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from runner.errors import StorageError
from runner.results.files import write_atomic
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_atomic(Path(sys.argv[1]), b"x" * 100_000)
except StorageError as error:
    print(error)
"""


def test_a_file_that_cannot_grow_leaves_the_old_one_and_no_litter(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", FULL_DISK, file], capture_output=True, text=True, check=True)
    assert f"{file} could not be written: File too large" in done.stdout
    assert contents(tmp_path) == {"run.json": b"old"}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOSPC, r"the disk is full: .*run\.json could not be written\. Free some space"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EACCES, r"Permission denied\. Name a folder that you may write with --results"),
        (errno.EROFS, r"Read-only file system\. Name a folder"),
        (errno.EIO, r"Input/output error\. Check the disk"),
    ],
)
def test_what_a_disk_refuses_is_told_with_what_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str
) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(b"old")

    def refuse(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match=said) as caught:
        write_atomic(file, b"new")
    assert caught.value.exit_code == 3
    assert contents(tmp_path) == {"run.json": b"old"}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110 - a device
def test_a_full_disk_stops_the_log_with_a_sentence(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "x")
    (folder.path / "log.jsonl").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="the disk is full"):
        folder.log("event")


def test_runs_are_found_whatever_state_they_are_in(tmp_path: Path, document: RunDocument) -> None:
    whole = RunFolder.create(tmp_path, "circuit-breaker")
    whole.write_document(document)
    fresh = RunFolder.create(tmp_path, "fresh")
    logged = tmp_path / "suite" / "logged" / "20260101T000000Z-1"
    logged.mkdir(parents=True)
    (logged / "log.jsonl").write_text("{")
    broken = {}
    for name, content in {
        "cut": '{"version',
        "odd": "[1]",
        "verdict": '{"verdict": "maybe"}',
        "binary": "\x00",
    }.items():
        folder = RunFolder.create(tmp_path, name)
        (folder.path / "run.json").write_text(content)
        broken[name] = folder.path
    (tmp_path / "README.md").write_text("Each run leaves a folder here")
    (tmp_path / "loop").symlink_to(tmp_path)
    runs = {run.path: run for run in find_runs(tmp_path)}
    assert set(runs) == {whole.path, fresh.path, logged, *broken.values()}
    summary = runs[whole.path]
    assert (summary.experiment, summary.verdict, summary.reason) == ("circuit-breaker", "pass", "all 3 checks held")
    assert summary.started == "2026-11-24T05:00:00Z"
    assert runs[fresh.path].reason == "the run did not finish: there is no run.json"
    assert "can't be read" in runs[broken["cut"]].reason
    assert "no known verdict" in runs[broken["verdict"]].reason
    assert all(runs[path].verdict is Verdict.ERROR for path in broken.values())
    assert [run.path for run in find_runs(whole.path)] == [whole.path]
    assert find_runs(tmp_path / "gone") == []


@given(st.text(max_size=200), st.text(max_size=200))
def test_safe_names_are_safe_and_tell_names_apart(one: str, other: str) -> None:
    for name in (one, other):
        safe = safe_name(name)
        assert re.fullmatch(r"[A-Za-z0-9_=+,@-][A-Za-z0-9._=+,@~-]{0,99}", safe)
        assert safe_name(name) == safe
    assert (safe_name(one).lower() == safe_name(other).lower()) == (one == other)


def test_usual_names_stay_as_they_are() -> None:
    for name in ("timeout-500ms", "v2", "rate=20,users=3", "a.b"):
        assert safe_name(name) == name
    assert safe_name("A") != safe_name("a")
    assert safe_name("über/../x").startswith("-ber-..-x~")
