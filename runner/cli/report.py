"""`meshtrial report`: render a run folder again, whoever made it and whenever."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
def report(folder: Path, *, show: bool) -> None:
    """Write report.html of a run folder again, from the folder alone (of a suite: of all its runs); prints its path."""
    from runner.report.html import write_report  # noqa: PLC0415 - keeps --help quick
    from runner.report.suite import write_suite_report  # noqa: PLC0415 - the same
    from runner.results.store import RunFolder  # noqa: PLC0415 - the same
    from runner.results.suite import SuiteFolder  # noqa: PLC0415 - the same

    suite = SuiteFolder.open(folder)
    if suite is None:
        path = write_report(RunFolder.open(folder))
    else:
        for entry in suite.document().runs:
            run = suite.run_folder(entry)
            if run is not None:
                write_report(RunFolder.open(run.path))
        path = write_suite_report(suite)
    print(path)
    if show:
        click.launch(str(path.resolve()))
