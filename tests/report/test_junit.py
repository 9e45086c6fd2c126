"""JUnit XML as CI systems read it."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import suite_samples
from hypothesis import given
from hypothesis import strategies as st

from runner.report.junit import junit
from runner.results.document.run import Verdict


def read(runs) -> ET.Element:
    return ET.fromstring(junit(runs))  # noqa: S314 - what this very test wrote


def counts(element: ET.Element) -> dict[str, int]:
    return {name: int(element.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}


def test_one_testsuite_for_each_experiment_and_one_testcase_for_each_check() -> None:
    root = read(suite_samples.suite())
    assert root.tag == "testsuites"
    assert [suite.attrib["name"] for suite in root] == ["timeout", "breaker", "measured", "harmful", "lost", "late"]
    timeout, breaker, *_ = root
    assert [case.attrib["name"] for case in timeout.findall("testcase")] == ["a: p95 < 2s", "a: error_rate < 1%"]
    assert {case.attrib["classname"] for case in timeout.findall("testcase")} == {"timeout"}
    assert counts(timeout) == {"tests": 2, "failures": 0, "errors": 0, "skipped": 0}
    assert (timeout.attrib["timestamp"], timeout.attrib["time"]) == ("2026-11-24T06:12:09", "90.500")
    assert counts(breaker) == {"tests": 3, "failures": 1, "errors": 0, "skipped": 1}
    (failure,) = breaker.findall(".//failure")
    assert failure.attrib == {"message": "observed: status[503] 12", "type": "failed"}
    assert "12 is not equal to 0." in failure.text
    (skipped,) = breaker.findall(".//skipped")
    assert skipped.attrib["message"] == "inconclusive: observed: p50 not measured. No trial is valid."
    assert counts(root) == {name: sum(counts(suite)[name] for suite in root) for name in counts(root)}


def test_a_run_without_an_end_is_an_error_beside_its_checks() -> None:
    suites = {suite.attrib["name"]: suite for suite in read(suite_samples.suite())}
    assert counts(suites["harmful"]) == {"tests": 2, "failures": 0, "errors": 1, "skipped": 1}
    assert suites["harmful"].find(".//error").attrib == {"message": "a guardrail stopped it", "type": "aborted"}
    assert counts(suites["lost"]) == {"tests": 1, "failures": 0, "errors": 1, "skipped": 0}
    assert suites["lost"].find(".//error").attrib == {"message": "no port is free", "type": "error"}


def test_what_claims_nothing_or_was_not_run_is_skipped_and_no_file_is_without_a_testcase() -> None:
    suites = {suite.attrib["name"]: suite for suite in read(suite_samples.suite())}
    assert suites["measured"].find(".//skipped").attrib["message"] == "The run measured and asserted nothing."
    assert suites["late"].find(".//skipped").attrib["message"] == "not run"
    assert all(suite.findall("testcase") for suite in suites.values())


def test_hostile_names_stay_text() -> None:
    text = junit(suite_samples.hostile())
    root = ET.fromstring(text)  # noqa: S314 - what this very test wrote
    case = root.find(".//testcase")
    assert case.attrib["name"].startswith("</script><img src=x onerror=alert(1)>")
    assert b"<img" not in text
    assert counts(root) == {"tests": 4, "failures": 1, "errors": 1, "skipped": 1}


@given(st.text(alphabet=st.characters(codec=None)), st.text())
def test_any_text_makes_a_document_that_is_well_formed(name: str, said: str) -> None:
    runs = [
        suite_samples.run(name, Verdict.FAIL, [suite_samples.check(said + name, "failed", name, said)], reason=name)
    ]
    root = read(runs)
    assert counts(root) == {"tests": 1, "failures": 1, "errors": 0, "skipped": 0}
