"""`meshtrial schema`: the JSON Schema of experiment files, for editors."""

from __future__ import annotations

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of experiment files."""
    import json  # noqa: PLC0415 - keeps --help quick

    from runner.spec.schema import experiment_schema  # noqa: PLC0415 - the same

    print(json.dumps(experiment_schema(), indent=2))
