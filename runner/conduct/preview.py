"""A plan tried in thought: every variant's state against what a mesh would hold, with nothing running."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runner.errors import InputError
from runner.mesh.kinds import mesh_kind

if TYPE_CHECKING:
    from runner.conduct.plan import Plan
    from runner.mesh.kinds import Preview


def checked(plan: Plan, held: Preview) -> tuple[Plan, list[str]]:
    """The plan over what a mesh holds (a running one, or one in thought), every variant's state tried.

    Returns:
        The plan with its base, and warnings.

    Raises:
        InputError: a variant's state can't be held; every problem of all variants.
    """
    plan = replace(plan, base=tuple(held.applied()))
    problems = []
    warnings: list[str] = []
    for variant in plan.variants:
        try:
            warnings += held.check(plan.state(variant))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(list(dict.fromkeys(problems)))
    return plan, list(dict.fromkeys(warnings))


def preview(plan: Plan) -> tuple[Plan, list[str]]:
    """`checked` against a mesh in thought; the experiment's own warnings come first.

    Raises:
        InputError: as `checked`.
    """
    mesh = plan.experiment.experiment.mesh
    plan, warnings = checked(plan, mesh_kind(mesh).preview(mesh))
    return plan, [*plan.experiment.warnings, *warnings]
