"""The Markdown summary for a pull request."""

from __future__ import annotations

import re

import suite_samples
from hypothesis import given
from hypothesis import strategies as st

from runner.report.markdown import MAX_CHARACTERS, markdown
from runner.results.document.run import Verdict


def summary(runs, verdict=Verdict.ERROR, reason="1 of 6 experiments failed: breaker.") -> str:
    return markdown(verdict, reason, runs)


def rows(text: str) -> list[list[str]]:
    """The cells of the verdict table, as a reader of GitHub's tables splits them."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if not line.startswith("|--")
    ]


def test_it_opens_with_the_verdict_and_has_a_row_for_each_experiment() -> None:
    text = summary(suite_samples.suite())
    assert text.startswith("## \N{HEAVY EXCLAMATION MARK SYMBOL} Meshtrial: Error\n")
    assert "1 of 6 experiments failed: breaker." in text
    head, *body = rows(text)
    assert head == ["Experiment", "Verdict", "Checks", "Headline"]
    assert [(row[0], row[2]) for row in body] == [
        ("timeout", "2 held"),
        ("breaker", "1 held, 1 failed, 1 inconclusive"),
        ("measured", "\N{EN DASH}"),
        ("harmful", "1 inconclusive"),
        ("lost", "\N{EN DASH}"),
        ("late", "\N{EN DASH}"),
    ]
    assert [row[1].split()[-1] for row in body] == ["Pass", "Fail", "Inconclusive", "Aborted", "Error", "run"]
    assert body[4][3] == "no port is free"


def test_only_what_did_not_hold_is_told_at_length() -> None:
    text = summary(suite_samples.suite())
    assert re.findall(r"^### (.*)$", text, re.MULTILINE) == [
        "breaker: fail",
        "measured: inconclusive",
        "harmful: aborted",
        "lost: error",
    ]
    assert "- **failed** `a: status[503] == 0`: status\\[503\\] 12. 12 is not equal to 0." in text
    assert "- **inconclusive** `a: p50 < 1s`: p50 not measured. No trial is valid." in text
    assert "upstream_rq_pending_overflow" not in text
    assert "Repeat it: `meshtrial run breaker.yaml --seed 7`" in text
    assert "Report: `breaker/20261124T061209Z-abcdef/report.html`" in text


def test_hostile_names_break_out_of_nothing() -> None:
    text = summary(suite_samples.hostile(), reason=suite_samples.ODD)
    assert all(len(row) == 4 for row in rows(text))
    assert len(rows(text)) == 3
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    assert not re.search(r"(?<!\\)<", outside)
    assert "@all" not in outside
    assert len(re.findall("^#", text, re.MULTILINE)) == 3
    assert "\x00" not in text
    assert text.encode()


@given(st.text(), st.text(alphabet="`|\\*_<>[]#@~ a\n"))
def test_any_text_keeps_the_table_whole(name: str, said: str) -> None:
    runs = [suite_samples.run(name + said, Verdict.PASS, headline=said, reason=name)]
    assert [len(row) for row in rows(summary(runs))][:2] == [4, 4]


def test_a_huge_suite_stays_short_enough_for_a_comment() -> None:
    checks = [suite_samples.check(f"a: p{number} < 1s", "failed", "x" * 400, "y" * 400) for number in range(99)]
    many = [suite_samples.run(f"experiment-{number}", Verdict.FAIL, checks) for number in range(60)]
    text = summary(many)
    assert len(text) < 65_536
    assert len(rows(text)) == 61
    assert "94 more checks in the report" in text or "99 more checks in the report" in text
    endless = [suite_samples.run(f"experiment-{number}", Verdict.FAIL, headline="z" * 1200) for number in range(99)]
    assert len(summary(endless)) <= MAX_CHARACTERS + 100
    assert summary(endless).endswith("More is in the run folder.\n")
