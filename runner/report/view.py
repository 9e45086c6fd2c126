"""The page as data: everything that the templates show, worked out from the run document and its trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.report import answer as answer_view
from runner.report import capacity as capacity_view
from runner.report import (
    chart_data,
    comparisons,
    edges,
    forest,
    glossary,
    manifests,
    marks,
    phases,
    provenance,
    proxies,
    resources,
    sweep,
    trials,
    words,
)
from runner.report import variants as variants_view
from runner.report.table import Cell, Column, Row, Table, simple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.report.limits import Limits
    from runner.results.document.run import GuardrailRecord, RunDocument
    from runner.results.trial import TrialFile


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """A variant in a legend."""

    name: str
    place: int
    role: str


@dataclass(frozen=True, slots=True)
class Page:
    """What the page shows, in its order; see the module that makes each part."""

    title: str
    experiment: str
    question: str
    description: str
    subline: str
    mark: marks.Mark
    top: answer_view.Top
    guardrail: GuardrailRecord | None
    checks: Table
    no_checks: str
    capacity: capacity_view.Capacity | None
    sweeps: list[sweep.Sweep]
    phases: phases.PhasesView | None
    keys: list[SeriesKey]
    side_by_side: Table
    by_name: Table | None
    loads: Table
    pairs: list[comparisons.ComparisonPair]
    plot_width: int
    plot_height: int
    charts: chart_data.Charts | None
    edges: Table
    access_log: Table
    telling: Table
    counters: Table
    promql: Table | None
    resources: Table | None
    diffs: list[manifests.VariantDiff]
    applied: list[manifests.VariantManifests]
    matrix: Table
    figures: Table
    attested: list[trials.Attested]
    attested_left: int
    absent: list[tuple[str, str]]
    warnings: list[str]
    facts: list[provenance.Fact]
    restored: str
    command: str
    glossary: glossary.Glossary
    has_mesh: bool


def page(document: RunDocument, trial_files: Sequence[TrialFile], texts: Mapping[str, str], limits: Limits) -> Page:
    """Everything that the page shows.

    Args:
        document: the run.
        trial_files: the trials' own files, in any order; those that are missing are missing from charts and logs.
        texts: manifests, by `ManifestRecord.file`.
        limits: how much to show.
    """
    mark = marks.VERDICTS[document.verdict]
    question = document.question or document.experiment
    return Page(
        title=f"{mark.word}: {document.experiment}",
        experiment=document.experiment,
        question=question,
        description=document.description,
        subline=f"{words.moment(document.started)} · {provenance.design(document)}",
        mark=mark,
        top=answer_view.top(document),
        guardrail=document.guardrail,
        checks=checks(document),
        no_checks=_no_checks(document),
        capacity=capacity_view.capacity(document, limits),
        sweeps=[] if document.capacity else sweep.sweeps(document),
        phases=None if document.capacity else phases.phases(document, trial_files, limits),
        keys=[
            SeriesKey(variant.name, place, variants_view.role(variant))
            for place, variant in enumerate(document.variants)
        ],
        side_by_side=variants_view.side_by_side(document),
        by_name=variants_view.by_name(document, limits),
        loads=variants_view.loads(document),
        pairs=comparisons.pairs(document),
        plot_width=forest.WIDTH,
        plot_height=forest.HEIGHT,
        charts=chart_data.charts(document, trial_files, limits),
        edges=edges.edges(document, limits),
        access_log=edges.access_log(document, trial_files, limits),
        telling=proxies.telling(document),
        counters=proxies.whole(document, limits),
        promql=proxies.promql(document, _promql(document, trial_files)),
        resources=resources.resources(document, trial_files),
        diffs=manifests.diffs(document, texts, limits),
        applied=manifests.applied(document, texts, limits),
        matrix=trials.matrix(document),
        figures=trials.figures(document, limits),
        attested=trials.attested(document, limits),
        attested_left=trials.attested_left(document, limits),
        absent=[(absent.name, absent.reason) for absent in document.absent],
        warnings=list(document.warnings),
        facts=provenance.facts(document),
        restored=document.restored,
        command=document.command,
        glossary=glossary.glossary(document),
        has_mesh=document.mesh.kind != "none",
    )


def _no_checks(document: RunDocument) -> str:
    """What stands in place of checks."""
    if document.checks:
        return ""
    if document.aa:
        return "The baseline ran against itself to show what difference this set-up can see; no checks apply."
    if document.capacity:
        return "The experiment states no checks on capacity: it measured, and claims nothing."
    return "The experiment states no checks: it measured, and claims nothing."


def checks(document: RunDocument) -> Table:
    """What was expected, what came of it, what was seen, why."""
    rows = []
    for check in document.checks:
        mark = marks.CHECKS[check.outcome]
        rows.append(
            Row(
                [
                    Cell(check.check, code=True),
                    Cell(mark.word, tone=mark.tone, symbol=mark.symbol),
                    Cell(check.observed),
                    Cell(check.reason),
                ]
            )
        )
    head = [Column("Expected"), Column("Outcome"), Column("Observed"), Column("Why")]
    return simple("Checks", head, rows)


def _promql(document: RunDocument, trial_files: Sequence[TrialFile]) -> dict[str, dict[str, list[float | None]]]:
    counting = {
        (trial.variant, trial.block, trial.attempt)
        for variant in document.variants
        for trial in variant.trials
        if trial.valid and not trial.superseded
    }
    values: dict[str, dict[str, list[float | None]]] = {}
    for trial in sorted(trial_files, key=lambda trial: trial.block):
        for query, value in trial.promql.items():
            by_variant = values.setdefault(query, {})
            if chart_data.key(trial) in counting:
                by_variant.setdefault(trial.variant, []).append(value)
    return values
