"""`meshtrial run`: carry experiments out and write their reports."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from runner.cli.options import experiment_options, load, results_option

_ORDER = (130, 143, 3, 4, 1, 5, 0)
"""Of several experiments, the first of these that occurred is the exit code."""


@click.command()
@click.argument("experiments", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="EXPERIMENT...")
@experiment_options
@results_option
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything random; drawn and noted when not given.")
@click.option("--fresh", is_flag=True, help="Have a mesh of its own even when one is up.")
@click.option("--keep", is_flag=True, help="Leave the run's own mesh up after a failure.")
def run(
    experiments: tuple[Path, ...], results: Path, seed: int | None, *, fresh: bool, keep: bool, **options: Any
) -> None:
    """Carry out experiments: apply each variant, prove that it holds, load it, restore, report.

    The last line on standard output is the run folder.
    """
    from runner.cli.live import console_progress  # noqa: PLC0415 - keeps --help quick
    from runner.conduct.run import RunOptions  # noqa: PLC0415 - the same
    from runner.conduct.run import run as carry_out  # noqa: PLC0415 - the same
    from runner.errors import OutsideError  # noqa: PLC0415 - the same
    from runner.report.html import write_report  # noqa: PLC0415 - the same
    from runner.report.terminal import print_summary  # noqa: PLC0415 - the same
    from runner.results.store import RunFolder  # noqa: PLC0415 - the same

    loaded = [load(path, options) for path in experiments]
    codes = []
    for experiment in loaded:
        with console_progress(experiment.experiment.experiment) as progress:
            result = carry_out(
                experiment,
                RunOptions(results=results, seed=seed, fresh=fresh, keep=keep, command=_command(experiment.path)),
                progress,
            )
        code = result.exit_code
        try:
            write_report(RunFolder(result.folder))
            report = f"report: {result.folder / 'report.html'}"
        except OutsideError as error:
            report = f"no report: {error}"
            code = code or error.exit_code
        print_summary(result.document, progress.console)
        if result.error is not None and code not in {1, 4, 5}:
            progress.console.print(f"meshtrial: {result.error}", markup=False, highlight=False, soft_wrap=True)
        progress.console.print(report, markup=False, highlight=False, soft_wrap=True)
        print(result.folder, flush=True)
        codes.append(code)
        if code in {130, 143}:
            break
    sys.exit(next(code for code in _ORDER if code in codes))


def _command(path: Path) -> str:
    """The command line that repeats this run of one experiment; `{seed}` stands for the seed it will have used."""
    arguments = []
    skip = False
    for argument in sys.argv[1:]:
        if skip:
            skip = False
        elif argument == "--seed":
            skip = True
        elif not argument.startswith("--seed=") and not (
            argument.endswith((".yaml", ".yml")) and argument != str(path)
        ):
            arguments.append(shlex.quote(argument))
    return " ".join(["meshtrial", *arguments, "--seed", "{seed}"])
