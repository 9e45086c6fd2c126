"""The command line that repeats a run, for its report."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_LEFT_OUT = ("--junit", "--summary")
"""Files that this command writes for its caller: whoever repeats it has others."""


def repeat_run(arguments: Sequence[str], path: Path, experiments: Collection[Path]) -> str:
    """The command line that repeats the run of one experiment; `{seed}` stands for the seed it will have used.

    Args:
        arguments: of this command, without the program's name.
        path: the experiment's file.
        experiments: all files of the command, of which the others are left out.
    """
    others = {str(other) for other in experiments} - {str(path)}
    kept = [argument for argument in _without(arguments, (*_LEFT_OUT, "--seed")) if argument != "--fail-fast"]
    mine: list[str] = []
    for argument in kept:
        written = str(Path(argument))
        if written in others or (written == str(path) and argument in mine):
            continue
        mine.append(argument)
    return " ".join(["meshtrial", *map(shlex.quote, mine), "--seed", "{seed}"])


def repeat_suite(arguments: Sequence[str]) -> str:
    """The command line that repeats a suite."""
    return " ".join(["meshtrial", *map(shlex.quote, _without(arguments, _LEFT_OUT))])


def _without(arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """Arguments without some options and their values."""
    kept = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in options:
            skip = True
        elif not argument.startswith(tuple(f"{option}=" for option in options)):
            kept.append(argument)
    return kept
