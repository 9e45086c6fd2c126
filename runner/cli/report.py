"""`meshtrial report`: render a run folder again, whoever made it and whenever."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
def report(folder: Path, *, show: bool) -> None:
    """Write report.html of a run folder again, from the folder alone; prints its path."""
    from runner.report.html import write_report  # noqa: PLC0415 - keeps --help quick
    from runner.results.store import RunFolder  # noqa: PLC0415 - the same

    path = write_report(RunFolder.open(folder))
    print(path)
    if show:
        click.launch(str(path.resolve()))
