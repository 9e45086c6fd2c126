"""A plan tried in thought: every variant's state against what a mesh would hold, with nothing running."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runner.errors import InputError, Problem
from runner.mesh.kinds import mesh_kind
from runner.spec.metrics import Metric
from runner.yamlfile.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.conduct.plan import Plan, VariantPlan
    from runner.mesh.kinds import Preview


def checked(plan: Plan, held: Preview) -> tuple[Plan, list[str]]:
    """The plan over what a mesh holds (a running one, or one in thought), every variant's state tried.

    Returns:
        The plan with its base, and warnings.

    Raises:
        InputError: a variant's state can't be held; every problem of all variants.
        MeshError: what is to be changed can't be looked at.
    """
    held.reach({item.key for variant in plan.variants for item in variant.touched})
    plan = replace(plan, base=tuple(held.applied()))
    problems = []
    warnings: list[str] = []
    for variant in plan.variants:
        state = plan.state(variant)
        try:
            warnings += held.check(state)
        except InputError as error:
            problems += error.problems
            continue
        for key, problem in held.entry_problems(state, variant.load.source, variant.load.host):
            where = plan.experiment.document.position(("variants", variant.name, "load", key))
            problems.append(replace(problem, where=where))
        if variant.phases:
            try:
                warnings += _switched(plan, variant, held)
            except InputError as error:
                problems += error.problems
    problems += _unknown_workloads(plan, held.workloads())
    if problems:
        raise InputError(list(dict.fromkeys(problems)))
    return plan, list(dict.fromkeys(warnings))


def _switched(plan: Plan, variant: VariantPlan, held: Preview) -> list[str]:
    """Warnings about the state while the change of a variant's phases is on.

    Raises:
        InputError: that state can't be held, load can't enter there, or it is no other than the variant's own.
    """
    state = plan.switched(variant)
    document = plan.experiment.document
    if {one.key: one.canonical() for one in state} == {one.key: one.canonical() for one in plan.state(variant)}:
        where = document.position(("variants", variant.name, "phases", "apply"))
        raise InputError(
            Problem(
                f"the phases of {variant.name} would switch nothing: this is what it holds already",
                where,
                "manifests that differ from the variant's own state",
            )
        )
    warnings = held.check(state)
    problems = [
        replace(
            problem,
            message=f"while the phases' change is on: {problem.message}",
            where=document.position(("variants", variant.name, "phases", "apply")),
        )
        for _, problem in held.entry_problems(state, variant.load.source, variant.load.host)
    ]
    if problems:
        raise InputError(problems)
    return warnings


def _unknown_workloads(plan: Plan, services: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """Checks and guardrails on the counters of a workload that this mesh does not have: they could never be decided."""
    known = sorted({*services, *(workload for workloads in services.values() for workload in workloads)})
    asked = [(item.metric, item.position) for item in plan.experiment.guardrails]
    for check in plan.experiment.checks:
        asked += [(metric, check.position) for metric in (check.metric, check.operand) if isinstance(metric, Metric)]
    for metric, where in asked:
        workload = (metric.argument or "").partition(" ")[0]
        if metric.name == "proxy" and known and workload not in known:
            yield Problem(
                f'{metric}: there is no workload or service "{workload}" in this mesh',
                where,
                "one of " + ", ".join(known),
                suggest(workload, known),
            )


def preview(plan: Plan) -> tuple[Plan, list[str]]:
    """`checked` against a mesh in thought; the experiment's own warnings come first.

    Raises:
        InputError: as `checked`.
    """
    plan, warnings = checked(plan, _in_thought(plan))
    return plan, [*plan.experiment.warnings, *warnings]


def _in_thought(plan: Plan) -> Preview:
    """The experiment's mesh, nothing running; what is wrong with its choice stands at the key that made it."""
    mesh, document = plan.experiment.experiment.mesh, plan.experiment.document
    try:
        return mesh_kind(mesh).preview(mesh)
    except InputError as error:
        loc = ("mesh", next(iter(type(mesh).model_fields)))
        where = document.position(loc) if loc in document.values else None
        raise InputError([replace(problem, where=problem.where or where) for problem in error.problems]) from None
