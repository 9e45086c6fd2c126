"""Options that several commands share, and how they become what the experiment loader takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from runner.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.spec.load import LoadedExperiment

Command = TypeVar("Command", bound="Callable[..., Any]")

_SHARED = (
    click.option("--set", "sets", multiple=True, metavar="K=V", help="Set a variable of the file's `vars`."),
    click.option("--only", multiple=True, metavar="VARIANT", help="Run these variants only (repeatable)."),
    click.option("--duration", metavar="D", help="Measure for D in each trial, such as 10s."),
    click.option("--blocks", type=click.IntRange(min=1), help="How many blocks."),
    click.option("--quick", is_flag=True, help="6 blocks, 1s warm-up, 4s measured, at least 30 requests/s."),
    click.option(
        "--mesh", type=click.Choice(["local", "cluster"]), help="Use this kind of mesh instead of the file's."
    ),
    click.option("--context", metavar="C", help="Kubeconfig context (cluster)."),
    click.option("--namespace", metavar="N", help="Namespace (cluster)."),
)


def experiment_options(command: Command) -> Command:
    """The options that change what an experiment file says."""
    for option in _SHARED:
        command = option(command)
    return command


def search_options(command: Command) -> Command:
    """Those of them that a capacity search takes: it has trial lengths and a quick mode of its own, and one block by default."""
    own = (
        click.option(
            "--blocks",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="How many searches of each variant.",
        ),
        click.option("--quick", is_flag=True, help="A rough search: shorter trials, wider bounds, a minute of load."),
    )
    for option in (*_SHARED[:2], *own, *_SHARED[5:]):
        command = option(command)
    return command


def load(path: Path, options: dict[str, Any]) -> LoadedExperiment:
    """Read an experiment file with the options of `experiment_options` laid over it.

    Raises:
        InputError: the file or an option can't be used.
    """
    from runner.spec.load import Overrides, load_experiment  # noqa: PLC0415 - keeps --help quick

    sets = {}
    for item in options["sets"]:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise InputError(Problem(f"--set {item}", expected="a name and a value, as in --set delay=2s"))
        sets[key] = value
    overrides = Overrides(
        quick=options["quick"],
        blocks=options["blocks"],
        duration=options["duration"],
        only=tuple(options["only"]),
        mesh=options["mesh"],
        context=options["context"],
        namespace=options["namespace"],
    )
    return load_experiment(path, sets=sets, overrides=overrides)


def results_option(command: Command) -> Command:
    """Where run folders go."""
    option = click.option(
        "--results",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("results"),
        show_default=True,
        help="The results folder.",
    )
    return option(command)
