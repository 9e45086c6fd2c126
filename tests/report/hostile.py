"""A run whose every user-given text tries to break out of the page."""

from __future__ import annotations

import sample_run

from runner.results.document.manifest import ManifestRecord
from runner.results.document.run import GuardrailRecord

HOSTILE = "</script><img src=x onerror=alert(1)>\u2028{{ 7*7 }}'\"&"


def hostile_run() -> sample_run.Run:
    arms = [
        sample_run.Arm(HOSTILE, 40, outcomes={HOSTILE: 1.0}, counters={HOSTILE: {HOSTILE: 1}}, files=[]),
        sample_run.Arm("b" + HOSTILE, 40, files=[]),
    ]
    run = sample_run.make(arms, blocks=2, seconds=2, rate=5, invalid=False)
    document = run.document
    document.question = document.headline = document.reason = document.description = HOSTILE + "`" + HOSTILE + "`"
    document.experiment = document.command = document.restored = HOSTILE
    document.machine = {HOSTILE: {HOSTILE: [HOSTILE]}}
    document.warnings = [HOSTILE]
    document.guardrail = GuardrailRecord(rule=HOSTILE, variant=HOSTILE, block=1, observed=HOSTILE)
    document.checks[0].check = document.checks[0].reason = HOSTILE
    document.comparisons[0].sentence = HOSTILE
    for place, variant in enumerate(document.variants):
        variant.load = HOSTILE
        variant.manifests = [ManifestRecord(name=HOSTILE, file=f"m{place}", resources=[HOSTILE])]
        for edge in variant.edges:
            edge.source = edge.flags = edge.code = HOSTILE
        for trial in variant.trials:
            trial.remarks = [HOSTILE]
    for file in run.trials:
        for entry in file.access_log:
            entry.path = entry.details = HOSTILE
        for second in file.window.seconds:
            second.cells = {HOSTILE: next(iter(second.cells.values()), {})}
    run.manifests = {"m0": HOSTILE, "m1": f"{HOSTILE}\n{HOSTILE}"}
    return run
