"""`meshtrial push`: finished run folders into an object store."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("url")
def push(folder: Path, url: str) -> None:
    """Copy FOLDER (a run folder, or a results folder) below URL: s3://bucket/prefix, gs://..., az://... or file:///...

    Files that are there already are not sent again. Credentials come from the environment, as the store's own tools read them.
    """
    from runner.conduct.push import push as copy  # noqa: PLC0415 - keeps --help quick

    done = copy(folder, url)
    print(f"{len(done.sent)} files sent, {done.there} there already", file=sys.stderr)
    print(url)
