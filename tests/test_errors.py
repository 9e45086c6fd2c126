from __future__ import annotations

import pytest

from runner.errors import (
    ConfigRejectedError,
    DriverError,
    InputError,
    MeshError,
    MeshtrialError,
    OutsideError,
    Position,
    Problem,
    StoppedError,
    StorageError,
)


def test_a_problem_reads_as_a_compiler_would_say_it() -> None:
    problem = Problem('unknown key "aply"', Position("a.yaml", 6, 15), "one of apply, load", 'Did you mean "apply"?')
    assert str(problem) == 'a.yaml:6:15: unknown key "aply"; expected one of apply, load. Did you mean "apply"?'
    assert str(Problem("no such file")) == "no such file"


def test_input_errors_keep_every_problem() -> None:
    problems = [Problem("first", Position("a.yaml", 1, 2)), Problem("second")]
    error = InputError(problems)
    assert error.problems == problems
    assert str(error) == "a.yaml:1:2: first\nsecond"
    assert InputError("just words").problems == [Problem("just words")]
    assert InputError(problems[1]).problems == [problems[1]]


def test_outside_errors_say_what_was_restored_and_what_next() -> None:
    error = OutsideError("port 8080 is taken.", restored="the mesh is as it was", advice="End the other process.")
    assert str(error) == "port 8080 is taken. the mesh is as it was. End the other process"
    assert str(OutsideError("gone")) == "gone"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("x"), 2),
        (OutsideError("x"), 3),
        (MeshError("x"), 3),
        (ConfigRejectedError("x"), 3),
        (DriverError("x"), 3),
        (StorageError("x"), 3),
        (StoppedError(2), 130),
        (StoppedError(15), 143),
    ],
)
def test_exit_codes_are_the_documented_ones(error: MeshtrialError, code: int) -> None:
    assert isinstance(error, MeshtrialError)
    assert error.exit_code == code


def test_a_stopped_run_names_the_signal() -> None:
    assert str(StoppedError(15, "everything was restored")) == "stopped by SIGTERM; everything was restored"
    assert str(StoppedError(1)) == "stopped by SIGHUP"
    assert str(StoppedError(9)) == "stopped by signal 9"
