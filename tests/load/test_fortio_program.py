"""What is found wrong with fortio, or with how it is asked for, before anything is started."""

from __future__ import annotations

import resource

import pytest

from runner.errors import DriverError, InputError
from runner.load.drivers import make_driver
from runner.load.fortio_program import HOW_TO_GET_IT
from runner.spec.load_profile import Load


def make(tmp_path, fortio=None, **keys):
    """A driver; `fortio` is the text of a program that stands for it on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    if fortio is not None:
        program = folder / "fortio"
        program.write_text(f"#!/bin/sh\n{fortio}\n")
        program.chmod(0o755)
    load = Load.model_validate({"fortio": keys})
    return make_driver(load, work_directory=tmp_path / "work", environ={"PATH": f"{folder}:/bin:/usr/bin"})


def test_without_fortio_one_sentence_says_how_to_get_it(tmp_path):
    load = Load.model_validate({"fortio": {}})
    with pytest.raises(DriverError) as caught:
        make_driver(load, work_directory=tmp_path, environ={"PATH": str(tmp_path)})
    assert str(caught.value) == f"fortio is not on PATH. {HOW_TO_GET_IT}"
    assert "go install fortio.org/fortio@v1.68.0" in HOW_TO_GET_IT
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("echo 1.59.9", "is fortio 1.59.9; 1.60 or newer is needed"),
        ("echo 0.99.0", "is fortio 0.99.0; 1.60 or newer is needed"),
        ("echo dev", "does not tell its version (it says 'dev')"),
        ("exit 1", "does not tell its version (it says 'nothing')"),
    ],
)
def test_a_version_that_will_not_do(tmp_path, program, told):
    with pytest.raises(DriverError) as caught:
        make(tmp_path, program)
    assert told in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_program_that_is_none(tmp_path):
    with pytest.raises(InputError, match=r"fortio\.binary: .*/nowhere is no program that can be run"):
        make(tmp_path, binary=tmp_path / "nowhere")
    (tmp_path / "text").write_text("not a program")
    (tmp_path / "text").chmod(0o755)
    with pytest.raises(DriverError, match=r"text can't be run: Exec format error"):
        make(tmp_path, binary=tmp_path / "text")


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("-c", "Use the key connections"),
        ("--n=7", "Use the key requests"),
        ("-t", "Use the key duration of the load"),
        ("-H", "Use the key headers of the load"),
        ("-json", "meshtrial sets it itself"),
        ("-k=true", "Use the key tls of the load"),
    ],
)
def test_arguments_that_the_experiment_has_keys_for(tmp_path, fortio, argument, hint):
    with pytest.raises(InputError) as caught:
        make(tmp_path, binary=fortio, args=[argument])
    (problem,) = caught.value.problems
    assert problem.suggestion == hint


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["-no-such-flag"], "flag provided but not defined: -no-such-flag"),
        (["-gomaxprocs", "many"], 'invalid value "many" for flag -gomaxprocs: parse error'),
        (["-p", "half"], "Unable to extract percentiles from -p"),
    ],
)
def test_options_that_fortio_does_not_take(tmp_path, fortio, args, told):
    with pytest.raises(InputError) as caught:
        make(tmp_path, binary=fortio, args=args)
    assert "fortio does not take its options: " in str(caught.value)
    assert told in str(caught.value)


def test_more_connections_than_files(tmp_path, fortio):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with pytest.raises(InputError, match="more than this machine lets a process open"):
        make(tmp_path, binary=fortio, qps=0, connections=most)


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ('{"RunType": "HTTP", "StartTi', "fortio's result is not whole (exit code 0): Unterminated string"),
        ("{}", "fortio's result is not whole (exit code 0): StartTime: Field required"),
        ("[1]", "fortio's result is not whole (exit code 0)"),
    ],
)
def test_a_result_that_is_not_whole_is_the_drivers_failure(tmp_path, server, plan_for, result, told):
    program = f"""case "$*" in
        version) echo 1.68.0;;
        *http*) printf '%s' '{result}';;
        *) echo "Error: fortio load/curl needs a URL or destination" >&2;;
    esac"""
    with pytest.raises(DriverError) as caught:
        make(tmp_path, program).drive(plan_for(rate=None, users=1))
    assert told in str(caught.value)
    assert caught.value.exit_code == 3
    assert list((tmp_path / "work").iterdir()) == []
