"""`meshtrial init`: a small experiment that runs, to start from."""

from __future__ import annotations

from pathlib import Path

import click

from runner.errors import InputError, Problem

_FILES = ("experiments/my-experiment.yaml", "experiments/istio/ratings-delay.yaml", "loadfiles/my_load.py")


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
def init(folder: Path) -> None:
    """Write a small experiment, its manifest and its loadfile below FOLDER; nothing that exists is overwritten."""
    from importlib.resources import files  # noqa: PLC0415 - keeps --help quick

    taken = [folder / name for name in _FILES if (folder / name).exists()]
    if taken:
        raise InputError(Problem(f"{taken[0]} is there already", suggestion="Nothing was written; name another folder"))
    starter = files("runner.cli") / "starter"
    for name in _FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((starter / Path(name).name).read_bytes())
        print(path)
    click.echo(f"try: meshtrial run --quick {folder / _FILES[0]}", err=True)
