"""`meshtrial validate`: everything that can be wrong in a file, found without starting anything."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from runner.cli.options import experiment_options, load


@click.command()
@click.argument("experiments", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="EXPERIMENT...")
@experiment_options
def validate(experiments: tuple[Path, ...], **options: Any) -> None:
    """Check experiment files, their manifests and what the mesh would make of them."""
    from runner.conduct.plan import make_plan  # noqa: PLC0415 - keeps --help quick
    from runner.conduct.preview import preview  # noqa: PLC0415 - the same
    from runner.errors import InputError  # noqa: PLC0415 - the same

    problems = []
    for path in experiments:
        try:
            experiment = load(path, options)
            plan, warnings = preview(make_plan(experiment, 0))
        except InputError as error:
            problems += error.problems
            continue
        for warning in warnings:
            print(f"warning: {warning}", file=sys.stderr)
        count = len(plan.variants)
        variants = f"{count} {'variant' if count == 1 else 'variants'}"
        print(f"{path}: good ({variants}, {plan.blocks} {'block' if plan.blocks == 1 else 'blocks'})")
    if problems:
        raise InputError(problems)
