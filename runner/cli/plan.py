"""`meshtrial plan`: what will run, in which order, and how long it will take."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli.options import experiment_options, load

if TYPE_CHECKING:
    from runner.conduct.plan import Plan, VariantPlan


@click.command()
@click.argument("experiment", type=click.Path(path_type=Path))
@experiment_options
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The seed that orders the blocks."
)
def plan(experiment: Path, seed: int, **options: Any) -> None:
    """Show what a run would do, without doing it."""
    from runner.conduct.plan import make_plan  # noqa: PLC0415 - keeps --help quick
    from runner.conduct.preview import preview  # noqa: PLC0415 - the same
    from runner.units import format_duration  # noqa: PLC0415 - the same

    loaded = load(experiment, options)
    planned, warnings = preview(make_plan(loaded, seed))
    spec = loaded.experiment
    print(f"{spec.experiment}: {spec.question}" if spec.question else spec.experiment)
    for variant in planned.variants:
        _show(variant, planned)
    print()
    for block in range(1, planned.blocks + 1):
        print(f"block {block}: {', '.join(trial.variant.name for trial in planned.order(block))}")
    if loaded.checks:
        print("\nchecks:")
        for check in loaded.checks:
            print(f"  {check}")
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"\nabout {format_duration(planned.seconds())} of load and restoring")


def _show(variant: VariantPlan, planned: Plan) -> None:
    """One variant: its load, how long and how often, what is applied, what must fire."""
    from runner.conduct.phase_record import phases_in_words  # noqa: PLC0415 - keeps --help quick
    from runner.conduct.record import load_in_words  # noqa: PLC0415 - the same
    from runner.units import format_duration  # noqa: PLC0415 - the same

    role = " (baseline)" if variant is planned.variants[0] else ""
    print(f"\n{variant.name}{role}: {load_in_words(variant.load, variant.url)}")
    profile = variant.load
    how_long = (
        "an exact number of requests"
        if profile.exact
        else f"{format_duration(profile.warmup)} warm-up, {format_duration(profile.duration)} measured"
    )
    print(f"  {how_long}, {planned.blocks} times")
    for manifest in variant.manifests:
        print(f"  {manifest.name}: {', '.join(str(resource.key) for resource in manifest.resources)}")
    if variant.faults:
        print(f"  must fire: {', '.join(map(str, sorted(variant.faults)))}")
    if variant.phases:
        print(f"  phases: {phases_in_words(variant.phases)}")
        for manifest in variant.phases.manifests:
            print(f"  {manifest.name}: {', '.join(str(resource.key) for resource in manifest.resources)}")
        if variant.phases.faults:
            print(f"  must fire during: {', '.join(map(str, sorted(variant.phases.faults)))}")
