from __future__ import annotations

import pytest
import sample_run

from runner.errors import InputError, OutsideError, StorageError
from runner.report import assets
from runner.report.html import write_report
from runner.results.store import RunFolder


@pytest.fixture
def folder(tmp_path):
    run = sample_run.make(blocks=2, seconds=3, rate=10, invalid=False)
    made = RunFolder.create(tmp_path, run.document.experiment)
    for variant in run.document.variants:
        for manifest in variant.manifests:
            text = run.manifests[manifest.file]
            manifest.file = made.add_manifest(variant.name, manifest.name, text.encode())
    for trial in run.trials:
        made.write_trial(trial)
    made.write_document(run.document)
    return made


def test_the_report_is_made_from_the_folder_alone(folder):
    path = write_report(RunFolder.open(folder.path))
    assert path == folder.path / "report.html"
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "timeout: 0.5s" in text
    assert 'id="chart-curves"' in text
    assert [file.name for file in folder.path.iterdir() if file.name.startswith(".")] == []


def test_an_old_report_is_replaced(folder):
    (folder.path / "report.html").write_text("old", encoding="utf-8")
    write_report(folder)
    assert (folder.path / "report.html").read_text(encoding="utf-8")[:3] != "old"


def test_a_damaged_trial_and_a_lost_manifest_are_left_out_and_told(folder):
    broken = folder.path / folder.trial_files()[0]
    broken.write_bytes(broken.read_bytes()[:40])
    lost = folder.path / folder.document().variants[0].manifests[0].file
    lost.unlink()
    text = write_report(folder).read_text(encoding="utf-8")
    assert "Charts and logs lack one trial" in text
    assert broken.name in text
    assert "the copy is missing from the run folder" in text


def test_without_a_document_there_is_no_report(tmp_path):
    with pytest.raises(InputError):
        write_report(RunFolder(tmp_path))


def test_a_folder_that_cannot_be_written_is_told(folder):
    (folder.path / "report.html").mkdir()
    with pytest.raises(StorageError):
        write_report(folder)


def test_missing_uplot_is_told_with_advice():
    with pytest.raises(OutsideError, match=r"uplot-python.*Install meshtrial again"):
        assets.uplot("no-such-file.js")


def test_a_file_that_would_end_its_tag_is_refused():
    with pytest.raises(ValueError, match="end its own tag"):
        assets.inline("</SCRIPT>", "x.js")


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("plain <b>", "plain &lt;b&gt;"),
        ("a `<b>` c", "a <code>&lt;b&gt;</code> c"),
        ("one ` alone", "one ` alone"),
    ],
)
def test_names_in_backticks_become_code(text, markup):
    assert assets.ticked(text) == markup
