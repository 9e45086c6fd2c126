"""Made-up suites for the tests of JUnit, Markdown and the suite's page."""

from __future__ import annotations

from hostile import HOSTILE

from runner.results.document.checks import CheckRecord
from runner.results.document.run import MeshRecord, RunDocument, Verdict
from runner.results.suite import CheckCounts, SuiteDocument, SuiteEntry

ODD = f"{HOSTILE}]]>\x00\x0b\ud800\ufffe|`@all`\n# "


def check(text, outcome="held", observed="p95 1.02 s (1 to 1.04 s)", reason="It is below."):
    return CheckRecord(check=text, outcome=outcome, observed=observed, reason=reason)


def run(name, verdict, checks=(), *, reason="Because.", headline="b against a: p95 3 % lower.", folder=True):
    document = RunDocument(
        experiment=name,
        verdict=verdict,
        reason=reason,
        headline=headline,
        seed=7,
        command=f"meshtrial run {name}.yaml --seed 7",
        mesh=MeshRecord(kind="local"),
        checks=list(checks),
        restored="the mesh holds what it held before",
    )
    count = {word: sum(1 for one in checks if one.outcome == word) for word in ("held", "failed", "inconclusive")}
    entry = SuiteEntry(
        experiment=name,
        file=f"experiments/{name}.yaml",
        folder=f"{name}/20261124T061209Z-abcdef" if folder else "",
        verdict=verdict,
        exit_code={"pass": 0, "fail": 1, "error": 3, "aborted": 4, "inconclusive": 5}[verdict],
        reason=reason,
        headline=headline,
        checks=CheckCounts(**count),
        started="2026-11-24T06:12:09.250Z",
        ended="2026-11-24T06:13:39.750Z",
    )
    return entry, document


def suite():
    """One of each kind: passed, failed, inconclusive, without checks, aborted, never started, not run."""
    return [
        run("timeout", Verdict.PASS, [check("a: p95 < 2s"), check("a: error_rate < 1%")]),
        run(
            "breaker",
            Verdict.FAIL,
            [
                check("a: status[503] == 0", "failed", "status[503] 12", "12 is not equal to 0."),
                check("a: p50 < 1s", "inconclusive", "p50 not measured", "No trial is valid."),
                check("a: proxy[client cluster.outbound|9080|v1|a;.upstream_rq_pending_overflow] > 0"),
            ],
        ),
        run("measured", Verdict.INCONCLUSIVE, reason="The run measured and asserted nothing."),
        run("harmful", Verdict.ABORTED, [check("a: p50 < 1s", "inconclusive")], reason="a guardrail stopped it"),
        (
            SuiteEntry(
                experiment="lost",
                file="experiments/lost.yaml",
                verdict=Verdict.ERROR,
                exit_code=3,
                reason="no port is free",
                started="2026-11-24T06:13:40Z",
                ended="2026-11-24T06:13:41Z",
            ),
            None,
        ),
        (SuiteEntry(experiment="late", file="experiments/late.yaml"), None),
    ]


def document(runs, verdict=Verdict.ERROR, reason="1 of 6 experiments could not be finished: lost."):
    return SuiteDocument(
        verdict=verdict,
        exit_code=3,
        reason=reason,
        started="2026-11-24T06:12:09Z",
        ended="2026-11-24T06:14:09Z",
        meshtrial="0.1.0",
        command="meshtrial run experiments/*.yaml",
        runs=[entry for entry, _ in runs],
    )


def hostile():
    """A run every text of which tries to break out."""
    entry, found = run(
        ODD,
        Verdict.FAIL,
        [check(ODD, "failed", ODD, ODD), check(ODD, "inconclusive", ODD, ODD), check(ODD, "held", ODD, ODD)],
        reason=ODD,
        headline=ODD,
    )
    found.command = found.restored = ODD
    entry.file = ODD
    return [(entry, found), (SuiteEntry(experiment=ODD, file=ODD, reason=ODD, verdict=Verdict.ERROR), None)]
