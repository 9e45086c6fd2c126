"""The top of a report: a sentence, and a line for each of many variants."""

from __future__ import annotations

import page_reader
import pytest
import sample_run
import suite_samples

from runner.report.answer import top
from runner.report.markdown import markdown
from runner.results.document.run import Verdict


@pytest.fixture(scope="module")
def many() -> sample_run.Run:
    return sample_run.make(sample_run.many(5), blocks=2, seconds=3, rate=10)


def test_many_variants_have_a_line_each_and_the_page_shows_them(many: sample_run.Run) -> None:
    found = top(many.document)
    assert [line.variant for line in found.lines] == [variant.name for variant in many.document.variants]
    assert found.lead.startswith("Against retries-0, the baseline")
    assert found.lines[0].role == "baseline"
    assert " ".join((found.sentence + " " + found.why).split()) == " ".join(many.document.reason.split())
    (listed,) = page_reader.read(many.html()).find("ul", class_="answers")
    items = listed.find("li")
    assert len(items) == len(found.lines)
    for item, line in zip(items, found.lines, strict=True):
        assert line.variant in item.text
        assert line.phrases[0].replace("`", "") in item.text


def test_two_variants_keep_the_sentence(run: sample_run.Run) -> None:
    found = top(run.document)
    assert (found.sentence, found.why, found.lines) == (run.document.headline, run.document.reason, [])
    assert not page_reader.read(run.html()).find("ul", class_="answers")


def test_of_too_many_lines_those_that_did_not_hold_are_kept(many: sample_run.Run) -> None:
    document = many.document.model_copy(deep=True)
    last = document.variants[-1].name
    check = suite_samples.check(f"{last}: p50 < 1ms", "failed", "p50 9 ms", "It is not.").model_copy(
        update={"variant": last}
    )
    document.checks = [check]
    found = top(document, most=2)
    assert (found.lines[-1].variant, found.lines[-1].checks, found.left) == (last, "1 failed", 3)


def test_the_summary_lists_the_variants(many: sample_run.Run) -> None:
    entry, _ = suite_samples.run("retries", Verdict.PASS, headline=many.document.headline)
    text = markdown(Verdict.PASS, "All held.", [(entry, many.document)])
    for line in top(many.document).lines:
        assert f"- **{line.variant}**" in text
