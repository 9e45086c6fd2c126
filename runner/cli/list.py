"""`meshtrial list`: the runs in a results folder, newest last."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from runner.cli.options import results_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command("list")
@results_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def list_runs(results: Path, *, as_json: bool) -> None:
    """List runs: when, which experiment, which verdict, where."""
    import json  # noqa: PLC0415 - keeps --help quick

    from runner.results.runs import find_runs  # noqa: PLC0415 - the same

    runs = find_runs(results)
    if not runs:
        print(f"no runs below {results}", file=sys.stderr)
    for found in runs:
        if as_json:
            print(
                json.dumps(
                    {
                        "started": found.started,
                        "experiment": found.experiment,
                        "verdict": str(found.verdict),
                        "reason": found.reason,
                        "folder": str(found.path),
                    }
                )
            )
        else:
            print(f"{found.started[:19]:19}  {found.verdict!s:12}  {found.experiment:24}  {found.path}")
