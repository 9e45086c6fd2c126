from __future__ import annotations

import io

import pytest
import sample_run
from rich.console import Console

from runner.report.terminal import print_summary
from runner.results.document.run import GuardrailRecord, MeshRecord, RunDocument, Verdict


def printed(document, width=80, encoding="utf-8", **options):
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding=encoding, write_through=True)
    print_summary(document, Console(file=stream, width=width, legacy_windows=False, **options))
    return buffer.getvalue().decode(encoding)


def test_the_verdict_comes_first_and_everything_fits_eighty_columns(run):
    text = printed(run.document)
    lines = text.splitlines()
    assert lines[1] == "? Inconclusive  request-timeout"
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in text
    flat = " ".join(text.split())
    assert " ".join(run.document.headline.split()) in flat
    assert " ".join(run.document.reason.split()) in flat
    assert run.document.restored in flat
    for check in run.document.checks:
        assert " ".join(check.observed.split())[:20] in flat


def test_variants_stand_side_by_side(run):
    lines = printed(run.document).splitlines()
    start = next(place for place, line in enumerate(lines) if line.split() == ["slow-ratings", "timeout-500ms"])
    table = {line[:22].strip(): line[22:].split() for line in lines[start + 1 : start + 6]}
    assert table["requests"] == ["600", "600"]
    assert table["rate"] == ["10.0/s", "10.0/s"]
    assert table["reviews unavailable"][0:2] == ["0", "%"]


def test_only_checks_that_did_not_hold_are_explained(run):
    text = " ".join(printed(run.document, width=200).split())
    held, open_ = (
        next(check for check in run.document.checks if check.outcome == outcome) for outcome in ("held", "inconclusive")
    )
    assert " ".join(open_.reason.split()) in text
    assert " ".join(held.reason.split()) not in text


def test_many_variants_take_several_tables_with_the_baseline_in_each():
    run = sample_run.make(sample_run.many(7), blocks=1, seconds=2, rate=5, invalid=False)
    text = printed(run.document)
    rows = [line.split() for line in text.splitlines()]
    heads = [row for row in rows if row[:1] == ["retries-0"] and all(name.startswith("retries-") for name in row)]
    assert [name for head in heads for name in head[1:]] == [f"retries-{number}" for number in range(1, 7)]
    assert max(map(len, text.splitlines())) <= 80


def test_colours_come_only_with_a_terminal(run):
    assert "\x1b[" in printed(run.document, force_terminal=True, color_system="standard")


def test_a_poor_encoding_gets_plain_signs(run):
    text = printed(run.document, encoding="ascii")
    assert "+ held" in text
    assert "? inconclusive" in text


def test_markup_in_names_is_text():
    arms = [sample_run.Arm("[red]a[/red]", 20), sample_run.Arm("b", 20)]
    run = sample_run.make(arms, blocks=1, seconds=1, rate=5, invalid=False)
    run.document.warnings = ["[bold]not markup[/bold]"]
    text = printed(run.document)
    assert "[red]a[/red]" in text
    assert "[bold]not markup[/bold]" in text


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_run_without_figures_prints_its_reason(verdict):
    stop = GuardrailRecord(rule="error_rate > 50%", variant="v", block=1, observed="61 %")
    document = RunDocument(
        experiment="e", verdict=verdict, reason="because", guardrail=stop, mesh=MeshRecord(kind="local")
    )
    text = printed(document)
    assert verdict.value.capitalize() in text
    assert "because" in text
    assert "Guardrail error_rate > 50% stopped it in block 1, variant v: 61 %" in text
