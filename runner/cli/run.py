"""`meshtrial run`: carry experiments out and write their reports."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli.options import experiment_options, load, results_option
from runner.cli.outputs import Outputs, output_options
from runner.cli.repeat import repeat_run, repeat_suite
from runner.errors import InputError, MeshtrialError, OutsideError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.errors import Problem
    from runner.spec.load import LoadedExperiment


@click.command()
@click.argument("experiments", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="EXPERIMENT...")
@experiment_options
@results_option
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything random; drawn and noted when not given.")
@click.option("--fresh", is_flag=True, help="Have a mesh of its own even when one is up.")
@click.option("--keep", is_flag=True, help="Leave the run's own mesh up after a failure.")
@click.option("--aa", is_flag=True, help="Run the baseline against itself: what difference can this set-up see?")
@click.option(
    "--add-stats",
    is_flag=True,
    help="Have sidecars keep the counters that checks read, for the run: restarts those pods before and after (cluster).",
)
@click.option(
    "--fail-fast", is_flag=True, help="Of several: stop after the first that failed or could not be finished."
)
@output_options
def run(
    experiments: tuple[Path, ...],
    results: Path,
    seed: int | None,
    junit: Path | None,
    summary: Path | None,
    *,
    fresh: bool,
    keep: bool,
    aa: bool,
    add_stats: bool,
    fail_fast: bool,
    **options: Any,
) -> None:
    """Carry out experiments: apply each variant, prove that it holds, load it, restore, report.

    Several experiments are one suite with one verdict, after all of them were checked. The last line on standard output is
    the run folder, of a suite the suite's.
    """
    from runner.cli.live import console_progress  # noqa: PLC0415 - keeps --help quick
    from runner.cli.show import Shown  # noqa: PLC0415 - the same
    from runner.conduct.run import RunOptions  # noqa: PLC0415 - the same
    from runner.conduct.suite import exit_code_of, run_all, together  # noqa: PLC0415 - the same

    outputs = Outputs(junit, summary)
    try:
        loaded = _load_all(experiments, options, outputs)
        shown = Shown.of(loaded, results, repeat_suite(sys.argv[1:]))
        choices = [
            RunOptions(
                results=shown.results,
                seed=seed,
                fresh=fresh,
                keep=keep,
                aa=aa,
                add_stats=add_stats,
                command=repeat_run(sys.argv[1:], experiment.path, experiments),
            )
            for experiment in loaded
        ]
        outcomes = run_all(loaded, choices, console_progress, shown.finished, fail_fast=fail_fast)
    except BaseException as error:
        outputs.cut_short(experiments, error)
        raise
    code = exit_code_of(outcomes)
    runs = shown.runs(outcomes)
    reason = together([entry for entry, _ in runs]) if len(runs) > 1 else runs[0][0].reason
    unwritten: MeshtrialError | None = None
    try:
        outputs.write(code, reason, runs)
    except OutsideError as error:
        unwritten = error
    if len(outcomes) == 1 and outcomes[0].result is None and outcomes[0].error is not None:
        raise outcomes[0].error
    shown.end(outcomes)
    if unwritten is not None:
        shown.say(f"meshtrial: {unwritten}")
    sys.exit(code or (unwritten.exit_code if unwritten else 0))


def _load_all(paths: Sequence[Path], options: dict[str, Any], outputs: Outputs) -> list[LoadedExperiment]:
    """Read all experiments, and of several try everything that can be tried before the first one starts.

    Raises:
        InputError: every problem of all of them; what the caller asked for is written before.
        DriverError: a generator could not be started.
    """
    loaded: dict[int, LoadedExperiment] = {}
    problems: list[list[Problem]] = [[] for _ in paths]
    for place, path in enumerate(paths):
        try:
            loaded[place] = load(path, options)
        except InputError as error:
            problems[place] = list(error.problems)
    if len(paths) > 1:
        from runner.conduct.suite import try_all  # noqa: PLC0415 - keeps --help quick

        for place, found in zip(loaded, try_all(list(loaded.values())), strict=True):
            problems[place] += found
    if any(problems):
        with contextlib.suppress(OutsideError):
            outputs.without_runs(paths, ["; ".join(map(str, mine)) for mine in problems], InputError.exit_code)
        raise InputError(list(dict.fromkeys(problem for mine in problems for problem in mine)))
    return list(loaded.values())
