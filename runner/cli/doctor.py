"""`meshtrial doctor`: whether a run can do its part here, one line for each thing that was looked at, each with its fix."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli.options import experiment_options, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.mesh.finding import Finding

_STYLES = {"ok": "green", "warning": "yellow", "problem": "red", "skipped": "dim"}


@click.command()
@click.argument("experiments", nargs=-1, type=click.Path(path_type=Path), metavar="[EXPERIMENT...]")
@experiment_options
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(experiments: tuple[Path, ...], as_json: bool, **options: Any) -> int:
    """Look at everything that a run needs before it needs it: this machine, the mesh or cluster, the load generators.

    With experiments, also at what these need. Nothing is changed. Exit code 0: nothing stands in the way; 2: bad input; 3: something does.
    """
    from runner.conduct.doctor import cluster_choice, diagnose  # noqa: PLC0415 - keeps --help quick
    from runner.conduct.plan import make_plan  # noqa: PLC0415 - the same
    from runner.errors import InputError  # noqa: PLC0415 - the same

    plans, problems = [], []
    for path in experiments:
        try:
            plans.append(make_plan(load(path, options), 0))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    context, namespace = options["context"], options["namespace"]
    asked = cluster_choice(context, namespace) if options["mesh"] == "cluster" or context or namespace else None
    diagnosis = diagnose(plans, asked)
    if as_json:
        print(json.dumps([asdict(finding) for finding in diagnosis.findings], indent=2, ensure_ascii=False))
    else:
        _print(diagnosis.findings)
    if diagnosis.problems:
        sys.stdout.flush()
        raise InputError(diagnosis.problems)
    return 3 if diagnosis.in_the_way else 0


def _print(findings: Sequence[Finding]) -> None:
    """Findings under their areas; in a terminal with colours, folded to its width."""
    from rich.console import Console  # noqa: PLC0415 - keeps --help quick
    from rich.padding import Padding  # noqa: PLC0415 - the same
    from rich.text import Text  # noqa: PLC0415 - the same

    console = Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())
    for area in dict.fromkeys(finding.area for finding in findings):
        console.print(Text(area, style="bold"))
        for finding in findings:
            if finding.area != area:
                continue
            line = Text(f"{finding.status:<8}", style=_STYLES[finding.status])
            line.append(f"{finding.check}: {finding.found}", style="default")
            if finding.fix:
                line.append(f". {finding.fix}", style="default")
            console.print(Padding(line, (0, 0, 0, 2)) if sys.stdout.isatty() else Text("  ") + line)
