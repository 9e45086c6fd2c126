"""The command line that a report gives for repeating its run."""

import shlex
from pathlib import Path

import pytest

from runner.cli.repeat import repeat_run, repeat_suite

A, B = Path("experiments/a.yaml"), Path("b c.yaml")


@pytest.mark.parametrize(
    ("typed", "path", "repeated"),
    [
        ("run experiments/a.yaml", A, "meshtrial run experiments/a.yaml --seed {seed}"),
        ("run ./experiments/a.yaml --quick", A, "meshtrial run ./experiments/a.yaml --quick --seed {seed}"),
        ("run experiments/a.yaml 'b c.yaml' --seed 3", A, "meshtrial run experiments/a.yaml --seed {seed}"),
        ("run experiments/a.yaml 'b c.yaml' --seed=3", B, "meshtrial run 'b c.yaml' --seed {seed}"),
        ("run experiments/a.yaml experiments/a.yaml", A, "meshtrial run experiments/a.yaml --seed {seed}"),
        (
            "run --junit o.xml experiments/a.yaml --summary=s.md --fail-fast --set x=b.yaml",
            A,
            "meshtrial run experiments/a.yaml --set x=b.yaml --seed {seed}",
        ),
    ],
)
def test_a_run_is_repeated_by_itself(typed, path, repeated):
    assert repeat_run(shlex.split(typed), path, [A, B]) == repeated


def test_a_suite_is_repeated_whole():
    typed = "run experiments/a.yaml 'b c.yaml' --junit o.xml --fail-fast --seed 3"
    assert repeat_suite(shlex.split(typed)) == "meshtrial run experiments/a.yaml 'b c.yaml' --fail-fast --seed 3"
