"""`meshtrial run` with fortio: the circuit breaker as the guide has it, and what is said when fortio is not there."""

import json
import shutil

import pytest

from runner.results.store import RunFolder

EXPERIMENT = "circuit-breaker-fortio"


@pytest.fixture
def guide(workshop, repository, fortio):
    shutil.copytree(repository / "experiments", workshop.folder / "experiments")
    workshop.environment["PATH"] = f"{fortio.parent}:{workshop.environment['PATH']}"
    return workshop


def test_the_guides_circuit_breaker(guide):
    done = guide.run("run", f"experiments/{EXPERIMENT}.yaml", "--fresh", "--blocks", "2", "--quick")
    assert done.returncode == 0, done.stderr
    folder = RunFolder.open(guide.folder / done.stdout.splitlines()[-1])
    document = folder.document()
    assert document.versions["fortio"]
    assert not document.open_loop
    two, three = document.variants
    assert (two.requests, three.requests) == (2 * 20, 2 * 30)
    assert two.closed_loop
    assert three.closed_loop
    assert three.status["503"] + three.status["200"] == three.requests
    assert three.load == (
        "3 connections of fortio asking for / as fast as they can, 30 requests in all, in a closed loop from client"
    )
    for trial in three.trials:
        own = json.loads((folder.path / trial.native).read_bytes())
        assert own["Exactly"] == 30
        assert own["NumThreads"] == 3
        assert own["RetCodes"] == trial.status
    report = (folder.path / "report.html").read_text()
    assert "closed loop" in report
    assert "closed loop" in done.stderr


def test_without_fortio_nothing_is_started(workshop, repository, tmp_path):
    shutil.copytree(repository / "experiments", workshop.folder / "experiments")
    empty = tmp_path / "bin"
    empty.mkdir()
    workshop.environment["PATH"] = str(empty)
    done = workshop.run("run", f"experiments/{EXPERIMENT}.yaml", "--fresh")
    assert done.returncode == 3
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert "fortio is not on PATH. `go install fortio.org/fortio@v1.68.0` builds it" in line
    assert not (workshop.folder / "results").exists()
