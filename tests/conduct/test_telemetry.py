"""Evidence beside the counters, around a window: what is kept, what is absent and why, and that nothing of it ends a run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from runner.conduct.telemetry import CONTROL_PLANE, USAGE, TelemetryReader, refuse_wrong_queries
from runner.errors import InputError, MeshError
from runner.mesh.telemetry import NoTelemetry
from runner.results.usage import Usage
from runner.spec.load import load_experiment

WINDOW = SimpleNamespace(started=100.0, length=10.0, ended=110.5)
EXPERIMENT = """
variants: {only: {apply: []}}
mesh: {none: {url: "http://127.0.0.1:1/"}}
load: {locust: {file: load.py}}
collect:
  promql:
    good: sum(up)
    bad: sum(up
"""


class Telemetry(NoTelemetry):
    """What a cluster says, from lists: each question takes the next answer, and an error is raised."""

    def __init__(self, istiods=(), usages=(), answers=()):
        super().__init__("there is no Prometheus here")
        self.istiods, self.usages, self.answers = list(istiods), list(usages), list(answers)

    @staticmethod
    def _next(answers):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def prometheus(self, path):
        return self._next(self.answers) if self.answers else super().prometheus(path)

    def control_plane(self):
        return self._next(self.istiods) if self.istiods else {}

    def usage(self):
        return self._next(self.usages) if self.usages else []


def _mesh(telemetry):
    return SimpleNamespace(telemetry=lambda: telemetry)


def _istiod(pushes, rejects=0):
    return {"istiod-1": f'pilot_xds_pushes{{type="rds"}} {pushes}\npilot_total_xds_rejects {rejects}\n'}


def _round(reader):
    reader.applying()
    edge = reader.before(lambda: None)
    return reader.after(edge, WINDOW, lambda: None)


def test_all_of_it_is_kept():
    usages = [[Usage("r", "r-1", "proxy", at, cpu=cpu, memory=10**7)] for at, cpu in ((100, 1.0), (110, 3.0))]
    seen = _round(TelemetryReader(_mesh(Telemetry([_istiod(5), _istiod(9), _istiod(10, 2)], usages)), {}))
    assert seen.applying is not None
    assert seen.applying.pushes == {"rds": 4}
    assert seen.control_plane is not None
    assert (seen.control_plane.pushes, seen.control_plane.rejects) == ({"rds": 1}, 2)
    assert "2 pushes that some proxy of the cluster rejected" in seen.remarks[0]
    assert [(part.cores, part.memory_mb) for part in seen.usage] == [(0.2, 10)]
    assert seen.absent == {}


def test_what_can_not_be_had_is_absent_with_its_reason():
    away, denied = MeshError("istiod does not answer"), MeshError("nobody says")
    seen = _round(TelemetryReader(_mesh(Telemetry([away] * 3, [denied] * 2)), {"q": "sum(increase(a[$window]))"}))
    assert seen.absent == {
        CONTROL_PLANE: "istiod does not answer",
        USAGE: "nobody says",
        "promql[q]": "there is no Prometheus here",
    }
    assert (seen.promql, seen.control_plane, seen.usage) == ({"q": None}, None, [])


def test_a_mesh_without_any_of_it_misses_nothing():
    seen = _round(TelemetryReader(_mesh(NoTelemetry("none")), {}))
    assert (seen.absent, seen.remarks, seen.promql, seen.applying) == ({}, [], {}, None)


def test_queries_that_can_not_be_parsed_are_bad_input(tmp_path):
    (tmp_path / "load.py").write_text("")
    path = tmp_path / "queries.yaml"
    path.write_text(EXPERIMENT)
    plan = SimpleNamespace(experiment=load_experiment(path))
    fine = '{"status": "success", "data": {"resultType": "vector", "result": []}}'
    wrong = '{"status": "error", "errorType": "bad_data", "error": "1:7: parse error: unclosed left parenthesis"}'
    with pytest.raises(InputError) as caught:
        refuse_wrong_queries(plan, _mesh(Telemetry(answers=[fine, wrong])))
    (problem,) = caught.value.problems
    assert problem.message == "promql[bad]: 1:7: parse error: unclosed left parenthesis"
    assert problem.where is not None
    assert (problem.where.line, problem.where.file) == (8, str(path))
    refuse_wrong_queries(plan, _mesh(Telemetry()))  # nobody to ask: the run says so for each check
