"""The suite's page and its end in the terminal."""

from __future__ import annotations

import io
import re
from urllib.parse import unquote

import page_reader
import suite_samples
from rich.console import Console

from runner.report.suite import render, write_suite_report
from runner.report.suite_terminal import print_suite
from runner.results.document.run import MeshRecord, RunDocument, Verdict
from runner.results.store import RunFolder
from runner.results.suite import SuiteDocument, SuiteEntry, SuiteFolder


def test_the_table_leads_to_every_report() -> None:
    runs = suite_samples.suite()
    page = page_reader.read(render(suite_samples.document(runs), runs))
    section = page.one("section", id="runs")
    found = section.rows()
    assert list(found) == [
        f"{name} experiments/{name}.yaml" for name in ("timeout", "breaker", "measured", "harmful", "lost", "late")
    ]
    assert [cells[0] for cells in found.values()] == [
        "✓ Pass",
        "✗ Fail",
        "? Inconclusive",
        "■ Aborted",
        "! Error",
        "\N{EN DASH} Not run",
    ]
    assert found["breaker experiments/breaker.yaml"][1] == "1 held, 1 failed, 1 inconclusive"
    links = [link.attributes["href"] for link in section.find("a")]
    assert links == [
        f"{name}/20261124T061209Z-abcdef/report.html" for name in ("timeout", "breaker", "measured", "harmful")
    ]
    unmet = page.one("section", id="unmet")
    assert "a: status[503] == 0" in unmet.text
    assert "a: p95 < 2s" not in unmet.text
    assert "1 of 6 experiments could not be finished: lost." in page.one("header").text


def test_a_suite_that_passed_has_no_section_of_failures() -> None:
    runs = suite_samples.suite()[:1]
    document = suite_samples.document(runs, Verdict.PASS, "The one experiment passed.")
    page = page_reader.read(render(document, runs))
    assert not page.find("section", id="unmet")
    assert page.one("h1").text == "✓ Pass"


def test_hostile_texts_stay_text() -> None:
    runs = suite_samples.hostile()
    html = render(suite_samples.document(runs), runs)
    assert "<img" not in html
    page = page_reader.read(html.encode("utf-8", "replace").decode())
    assert not page.find("script")
    (link,) = page.one("section", id="runs").find("a")
    assert "<" not in link.attributes["href"]
    assert unquote(link.attributes["href"]).startswith("</script>")


def test_it_is_written_from_the_folder_alone_even_when_a_run_is_broken(tmp_path) -> None:
    suite = SuiteFolder.create(tmp_path)
    entries = []
    for name in ("whole", "broken"):
        run = RunFolder.create(suite.path, name)
        run.write_document(RunDocument(experiment=name, verdict="pass", mesh=MeshRecord(kind="none")))
        entries.append(SuiteEntry(experiment=name, file=name, folder=f"{name}/{run.path.name}", verdict="pass"))
    (suite.path / entries[1].folder / "run.json").write_text("{")
    suite.write_document(SuiteDocument(verdict="pass", runs=entries))
    page = page_reader.read(write_suite_report(suite).read_text())
    (link,) = page.find("a", href=f"{entries[0].folder}/report.html")
    assert link.text == "whole"
    assert "broken" in page.one("section", id="runs").text


def test_the_terminal_says_the_same_in_80_columns_and_in_ascii() -> None:
    runs = suite_samples.suite()
    for encoding in ("utf-8", "ascii"):
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
        print_suite(suite_samples.document(runs), Console(file=stream, width=80))
        text = raw.getvalue().decode(encoding)
        assert all(len(line) <= 80 for line in text.splitlines())
        assert re.search(r"Fail +breaker +1 held, 1 failed", text)
        assert re.search(r"Not run +late", text)
        assert "Error  1 of 6 experiments could not be finished: lost." in text
