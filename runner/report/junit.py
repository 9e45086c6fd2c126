"""JUnit XML for CI: one testsuite per experiment, one testcase per check.

A check that failed is a failure, one that could not be decided is skipped with its reason, a run that did not come to its
end has an error of its own beside its checks. (CI systems show skipped tests as no failure: the exit code tells.)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from runner.report import words
from runner.results.document.run import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.results.document.checks import CheckRecord
    from runner.results.document.run import RunDocument
    from runner.results.suite import SuiteEntry

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 can't hold, escaped or not (section 2.2, Char)."""

_THE_RUN = "the run itself"
_SIGNS = "tests", "failures", "errors", "skipped"


def junit(runs: Sequence[tuple[SuiteEntry, RunDocument | None]]) -> bytes:
    """The XML document, UTF-8, well-formed whatever names and texts hold.

    Args:
        runs: every experiment with its run's document; None where the run ended before it had one, or was not run.
    """
    root = ET.Element("testsuites", name="meshtrial")
    for entry, document in runs:
        suite = ET.SubElement(root, "testsuite", name=_clean(entry.experiment))
        if entry.started:
            suite.set("timestamp", entry.started.partition(".")[0].removesuffix("Z"))
        suite.set("time", f"{words.elapsed(entry.started, entry.ended) or 0:.3f}")
        _properties(suite, entry, document)
        for check in document.checks if document else []:
            _check(suite, entry, check)
        if entry.verdict in {None, Verdict.ERROR, Verdict.ABORTED} or not (document and document.checks):
            _run(suite, entry)
        _count(suite, suite)
        if document and document.restored:
            ET.SubElement(suite, "system-out").text = _clean(document.restored)
    _count(root, root)
    ET.indent(root)
    # a lone surrogate has been replaced by `_clean`, so UTF-8 can hold all of it
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _properties(suite: ET.Element, entry: SuiteEntry, document: RunDocument | None) -> None:
    values = {
        "file": entry.file,
        "verdict": str(entry.verdict or "not run"),
        "reason": entry.reason,
        "headline": entry.headline,
        "folder": entry.folder,
        "seed": str(document.seed) if document else "",
        "mesh": document.mesh.kind if document else "",
    }
    properties = ET.SubElement(suite, "properties")
    for name, value in values.items():
        if value:
            ET.SubElement(properties, "property", name=name, value=_clean(value))


def _check(suite: ET.Element, entry: SuiteEntry, check: CheckRecord) -> None:
    case = _case(suite, entry, check.check)
    if check.outcome == "held":
        ET.SubElement(case, "system-out").text = _clean(check.observed)
        return
    said = f"observed: {check.observed}. {check.reason}".strip()
    if check.outcome == "failed":
        ET.SubElement(case, "failure", message=_clean(f"observed: {check.observed}"), type="failed").text = _clean(said)
    else:
        ET.SubElement(case, "skipped", message=_clean(f"inconclusive: {said}"))


def _run(suite: ET.Element, entry: SuiteEntry) -> None:
    """The testcase of a run that has something to say beyond its checks."""
    case = _case(suite, entry, _THE_RUN)
    if entry.verdict in {Verdict.ERROR, Verdict.ABORTED}:
        error = ET.SubElement(case, "error", message=_clean(entry.reason), type=str(entry.verdict))
        error.text = _clean(entry.reason)
    elif entry.verdict is not Verdict.PASS:
        reason = entry.reason or ("not run" if entry.verdict is None else "")
        ET.SubElement(case, "skipped", message=_clean(reason))


def _case(suite: ET.Element, entry: SuiteEntry, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=_clean(entry.experiment), name=_clean(name), time="0.000")


def _count(element: ET.Element, below: ET.Element) -> None:
    found = {
        "tests": len(below.findall(".//testcase")),
        "failures": len(below.findall(".//failure")),
        "errors": len(below.findall(".//error")),
        "skipped": len(below.findall(".//skipped")),
    }
    for name in _SIGNS:
        element.set(name, str(found[name]))


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
