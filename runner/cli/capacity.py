"""`meshtrial capacity`: the highest arrival rate that keeps an objective, for each variant of an experiment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from runner.cli.options import load, results_option, search_options
from runner.cli.outputs import Outputs, output_options
from runner.cli.repeat import repeat_run
from runner.errors import MeshtrialError, OutsideError


@click.command()
@click.argument("experiment", type=click.Path(path_type=Path), metavar="EXPERIMENT")
@search_options
@results_option
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything random; drawn and noted when not given.")
@click.option("--fresh", is_flag=True, help="Have a mesh of its own even when one is up.")
@click.option("--keep", is_flag=True, help="Leave the run's own mesh up after a failure.")
@output_options
def capacity(
    experiment: Path,
    results: Path,
    seed: int | None,
    junit: Path | None,
    summary: Path | None,
    *,
    fresh: bool,
    keep: bool,
    **options: Any,
) -> None:
    """Find, for each variant, the highest arrival rate that keeps the objective of the experiment's `capacity`.

    Each search makes at most three minutes of load. The checks on capacity are decided; all others are left to `run`. To compare
    variants, repeat the searches: --blocks 6. The last line on standard output is the run folder.
    """
    from runner.cli.live import console_progress  # noqa: PLC0415 - keeps --help quick
    from runner.cli.show import Shown  # noqa: PLC0415 - the same
    from runner.conduct.capacity import CAPACITY  # noqa: PLC0415 - the same
    from runner.conduct.capacity_record import prepared  # noqa: PLC0415 - the same
    from runner.conduct.run import RunOptions  # noqa: PLC0415 - the same
    from runner.conduct.suite import exit_code_of, run_all  # noqa: PLC0415 - the same

    outputs = Outputs(junit, summary)
    try:
        loaded = prepared(load(experiment, {**options, "duration": None}))
        command = repeat_run(sys.argv[1:], experiment, [experiment])
        choice = RunOptions(results=results, seed=seed, fresh=fresh, keep=keep, command=command)
        shown = Shown.of([loaded], results, "")
        (outcome,) = run_all([loaded], [choice], console_progress, shown.finished, method=CAPACITY)
    except BaseException as error:
        outputs.cut_short([experiment], error)
        raise
    code = exit_code_of([outcome])
    unwritten: MeshtrialError | None = None
    try:
        entry = outcome.entry()
        outputs.write(code, entry.reason, [(entry, outcome.document)])
    except OutsideError as error:
        unwritten = error
    if outcome.result is None and outcome.error is not None:
        raise outcome.error
    if unwritten is not None:
        shown.say(f"meshtrial: {unwritten}")
    sys.exit(code or (unwritten.exit_code if unwritten else 0))
