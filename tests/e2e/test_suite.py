"""`meshtrial run` over several experiments: one folder, one verdict, one mesh; and what CI is given."""

import json
import signal
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from runner.results.store import RunFolder
from runner.results.suite import SuiteFolder

NOBODY = """
experiment: nobody
mesh: {none: {url: "http://127.1.2.3:9/"}}
variants: {a: {}}
load: {locust: {file: load.py}, arrivals: {rate: 40/s}, warmup: 0s, duration: 500ms}
blocks: 1
checks: {a: ["error_rate < 1%"]}
"""


@pytest.fixture
def files(workshop):
    """Experiments that pass, fail, and can't be decided; the first two on the same embedded mesh."""
    text = (workshop.folder / "slow.yaml").read_text().replace("duration: 2s", "duration: 1s").replace("== 80", "== 40")
    workshop.write("slow.yaml", text)
    failing = text.replace("experiment: slow-details", "experiment: failing").replace("p50 >= 300ms", "p50 < 300ms")
    workshop.write("failing.yaml", failing)
    workshop.write("nobody.yaml", NOBODY)
    return workshop


def suite_of(shop, result):
    suite = SuiteFolder.open(shop.folder / result.stdout.strip().splitlines()[-1])
    assert suite is not None, result
    return suite


def junit(shop, name="junit.xml"):
    return ET.parse(shop.folder / name).getroot()  # noqa: S314 - our own file


def counts(element):
    return [int(element.attrib[name]) for name in ("tests", "failures", "errors", "skipped")]


def test_a_suite_is_one_run_with_one_verdict_on_one_mesh(files):
    result = files.run("run", "slow.yaml", "failing.yaml", "nobody.yaml", "--junit", "junit.xml", "--summary", "s.md")
    assert result.returncode == 1, result.stderr
    suite = suite_of(files, result)
    document = suite.document()
    assert (document.verdict, document.exit_code) == ("fail", 1)
    assert document.reason == "1 of 3 experiments failed: failing; 1 was inconclusive: nobody."
    assert [(run.experiment, run.verdict, run.exit_code) for run in document.runs] == [
        ("slow-details", "pass", 0),
        ("failing", "fail", 1),
        ("nobody", "inconclusive", 5),
    ]
    assert suite.path.name.startswith("suite-")

    # one mesh for both, given back as it was in between
    assert result.stderr.count("uses the mesh of an earlier run of this suite") == 1
    documents = [suite.run_folder(run).document() for run in document.runs]
    assert [found.restored for found in documents] == [
        *["the mesh holds what it held before, verified on 8 proxies"] * 2,
        "nothing was applied, so there was nothing to restore",
    ]
    page = (suite.path / "report.html").read_text()
    for run in document.runs:
        assert f'href="{run.folder}/report.html"' in page
        assert (suite.path / run.folder / "report.html").is_file()
    assert len(files.run("list").stdout.splitlines()) == 3
    assert not list((files.folder.parent / "state" / "meshtrial").glob("meshes/*"))

    root = junit(files)
    assert [(each.attrib["name"], counts(each)) for each in root] == [
        ("slow-details", [6, 0, 0, 0]),
        ("failing", [6, 1, 0, 0]),
        ("nobody", [1, 0, 0, 1]),
    ]
    summary = (files.folder / "s.md").read_text()
    assert "1 of 3 experiments failed: failing" in summary
    assert "**failed** `slow-details: p50 < 300ms`" in summary
    assert str(Path("results") / suite.path.name / document.runs[1].folder / "report.html") in summary

    # each run is repeated by itself, and the page is made again from the folder alone
    assert documents[1].command == f"meshtrial run failing.yaml --seed {documents[1].seed}"
    (suite.path / "report.html").unlink()
    assert files.run("report", suite.path).returncode == 0
    assert (suite.path / "report.html").read_text() == page


def test_fail_fast_stops_after_a_failure_but_not_after_an_inconclusive_run(files):
    result = files.run("run", "nobody.yaml", "failing.yaml", "slow.yaml", "--fail-fast", "--junit", "junit.xml")
    assert result.returncode == 1
    runs = suite_of(files, result).document().runs
    assert [(run.verdict, run.exit_code) for run in runs] == [("inconclusive", 5), ("fail", 1), (None, None)]
    assert counts(junit(files)[2]) == [1, 0, 0, 1]


def test_nothing_starts_while_anything_is_wrong_with_any_file(files):
    files.write("typo.yaml", NOBODY.replace("blocks", "blokcs"))
    files.write("broken.py", "from locust import HttpUser\nraise RuntimeError('no database')\n")
    files.write("broken.yaml", NOBODY.replace("load.py", "broken.py"))
    files.write("unknown.yaml", (files.folder / "slow.yaml").read_text().replace("delay.yaml", "away.yaml"))
    files.write("junit.xml", "a pass of yesterday")
    result = files.run(
        *("run", "slow.yaml", "typo.yaml", "broken.yaml", "unknown.yaml", "missing.yaml"), "--junit", "junit.xml"
    )
    assert result.returncode == 2
    assert result.stdout == ""
    for word in ("typo.yaml:", "blokcs", "broken.py:2", "no database", "away.yaml", "missing.yaml"):
        assert word in result.stderr
    assert not (files.folder / "results").exists()
    found = {each.attrib["name"]: counts(each) for each in junit(files)}
    assert found.pop("slow") == [1, 0, 0, 1]
    assert set(map(tuple, found.values())) == {(1, 0, 1, 0)}
    assert len(found) == 4


def test_a_signal_ends_the_suite_and_restores(files):
    files.write("slow.yaml", (files.folder / "slow.yaml").read_text().replace("duration: 1s", "duration: 30s"))
    process = files.start(
        "run", "nobody.yaml", "slow.yaml", "failing.yaml", "--junit", "junit.xml", "--summary", "s.md"
    )
    deadline = time.monotonic() + 90
    while not list((files.folder / "results").glob("suite-*/slow-details/*/run.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    suite = SuiteFolder.open(files.folder / out.strip().splitlines()[-1])
    document = suite.document()
    assert [(run.verdict, run.exit_code) for run in document.runs] == [
        ("inconclusive", 5),
        ("aborted", 130),
        (None, None),
    ]
    assert document.verdict == "aborted"
    assert "verified on 8 proxies" in suite.run_folder(document.runs[1]).document().restored
    assert counts(junit(files)[1])[2] == 1
    assert "not run" in (files.folder / "s.md").read_text()
    assert files.run("recover").stdout.startswith("nothing to restore")


def test_a_single_run_writes_them_too_whatever_happened(files):
    result = files.run("run", "nobody.yaml", "--junit", "out/junit.xml", "--summary", "out/s.md")
    assert result.returncode == 5
    folder = result.stdout.strip()
    assert RunFolder.open(files.folder / folder).document().experiment == "nobody"
    (only,) = junit(files, "out/junit.xml")
    assert counts(only) == [1, 0, 0, 1]
    assert f"`{folder}/report.html`" in (files.folder / "out/s.md").read_text()

    # bad input, and a mesh that can't be had, leave no file of an earlier run behind
    files.write("nobody.yaml", NOBODY.replace("load.py", "gone.py"))
    assert files.run("run", "nobody.yaml", "--junit", "out/junit.xml").returncode == 2
    assert counts(junit(files, "out/junit.xml")) == [1, 0, 1, 0]
    files.environment["PATH"] = ""
    files.environment["XDG_STATE_HOME"] = "/proc/nowhere"
    refused = files.run("run", "slow.yaml", "--junit", "out/junit.xml", "--summary", "out/s.md")
    assert refused.returncode == 3
    assert junit(files, "out/junit.xml").find(".//error").attrib["message"]
    assert "Error" in (files.folder / "out/s.md").read_text()


@pytest.mark.parametrize("option", ["--junit", "--summary"])
def test_a_file_that_can_not_be_written_is_told_before_anything_starts(files, option):
    assert files.run("run", "nobody.yaml", option, "-").returncode == 2
    result = files.run("run", "nobody.yaml", option, files.folder)
    assert result.returncode == 2
    result = files.run("run", "nobody.yaml", option, "load.py/out.xml")
    assert result.returncode == 2
    assert "is no folder" in result.stderr
    assert not (files.folder / "results").exists()


def test_a_summary_may_go_to_a_device(files):
    result = files.run("run", "nobody.yaml", "--summary", "/dev/stderr")
    assert result.returncode == 5
    assert "| Experiment | Verdict | Checks | Headline |" in result.stderr
    assert json.loads((files.folder / result.stdout.strip() / "run.json").read_text())["verdict"] == "inconclusive"
