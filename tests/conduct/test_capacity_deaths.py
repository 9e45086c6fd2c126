"""A capacity search in which something of the mesh dies: the step does not count, and the search goes on once, on a mesh that is whole."""

import pytest

from runner.conduct import capacity_record as searching
from runner.conduct.capacity import CAPACITY
from runner.conduct.capacity_record import prepared
from runner.conduct.run import RunOptions, run
from runner.errors import MeshError
from runner.mesh.none import PlainTarget
from runner.report.html import write_report
from runner.results.document.trial import Invalid
from runner.results.store import RunFolder
from runner.spec.load import Overrides, load_experiment

pytestmark = pytest.mark.slow

LOAD = """
from locust import FastHttpUser, task

class Visitor(FastHttpUser):
    @task
    def page(self):
        self.client.get("/")
"""
EXPERIMENT = """
experiment: queue
mesh: {{none: {{url: "{url}"}}}}
variants: {{v1: {{}}}}
load: {{locust: {{file: load.py}}, warmup: 1s}}
capacity: {{objective: "p99 < 250ms and error_rate < 1%", from: 40/s, to: 200/s}}
checks: {{v1: ["capacity >= 30/s"]}}
"""
SMALL = {
    "seconds": 2.0,
    "duration_sum": 4.0,
    "probe": 1.0,
    "guess": 1.0,
    "lead": 1.0,
    "width": 0.4,
    "coarse": 0.5,
    "sure": 0.3,
}
DEAD = "the pod v1-abc of v1 is gone"


class Told:
    """A progress that keeps what it was told."""

    def __init__(self):
        self.messages = []
        self.steps = []

    def message(self, text):
        self.messages.append(text)

    def step(self, step):
        self.steps.append(step)

    def second(self, second):
        pass

    def trial(self, record):
        pass

    def stopping(self, number):
        pass


class Mortal:
    """What a mesh tells of deaths: something dies at each of some looks at it, until it is mended."""

    def __init__(self, at, heals=True):
        self.at, self.heals = set(at), heals
        self.looks = self.mended = 0
        self.dead = False

    def deaths(self):
        self.looks += 1
        self.dead = self.dead or self.looks in self.at
        return [DEAD] if self.dead else []

    def mend(self):
        if not self.heals:
            raise MeshError("the mesh was not whole again after 120 s: 0 of 1 pods of v1 are ready")
        self.mended += 1
        self.dead = False
        return True


@pytest.fixture
def search(tmp_path, queue_server, monkeypatch, own_state):
    """Search with deaths at some looks at the mesh: the first is at the run's beginning, one follows each step and each restore."""
    monkeypatch.setattr(searching, "QUICK", SMALL)
    (tmp_path / "load.py").write_text(LOAD)
    (tmp_path / "queue.yaml").write_text(EXPERIMENT.format(url=queue_server))

    def carry_out(mortal):
        monkeypatch.setattr(PlainTarget, "deaths", mortal.deaths)
        monkeypatch.setattr(PlainTarget, "mend", mortal.mend)
        loaded = load_experiment(tmp_path / "queue.yaml", overrides=Overrides(quick=True, blocks=1))
        told = Told()
        result = run(prepared(loaded), RunOptions(tmp_path / "results", seed=1), told, method=CAPACITY)
        (found,) = result.document.variants[0].capacity_searches
        return result, found, told

    return carry_out


def lost(found):
    """The places of the steps that do not count."""
    return [place for place, step in enumerate(found.steps) if step.invalid_because == [Invalid.PROXY_DIED]]


def test_the_step_in_which_something_dies_is_made_again_and_the_search_goes_on(search):
    mortal = Mortal(at=[3])
    result, found, told = search(mortal)
    assert found.ending in {"found", "wide"}
    assert mortal.mended == 1
    assert lost(found) == [1]
    assert (found.steps[1].outcome, found.steps[1].because) == ("spoiled", DEAD)
    assert found.steps[2].rate == found.steps[1].rate
    assert found.steps[2].outcome in {"held", "failed"}
    assert f"What was measured while something died does not count ({DEAD})." in found.sentence
    assert any("mended, the search goes on" in message for message in told.messages)
    assert [step.phase for step in told.steps].count("warm up") == 2, "a mended mesh is warmed up again"
    (variant,) = result.document.variants
    (trial,) = variant.trials
    assert trial.valid
    assert any(DEAD in remark for remark in trial.remarks)
    assert any(DEAD in warning for warning in result.document.warnings)
    assert DEAD in write_report(RunFolder.open(result.folder)).read_text()
    assert result.exit_code == 0


def test_a_death_that_is_seen_after_the_last_step_takes_that_one_back(search):
    steps = len(search(Mortal(at=[]))[1].steps)
    mortal = Mortal(at=[steps + 2])
    _, found, _ = search(mortal)
    assert mortal.mended == 1
    assert lost(found) == [mortal.at.copy().pop() - 3]
    assert len(found.steps) > mortal.at.copy().pop() - 2
    assert found.ending in {"found", "wide"}


def test_a_second_death_ends_the_search_with_what_is_known(search):
    mortal = Mortal(at=[3, 6])
    result, found, _ = search(mortal)
    assert mortal.mended == 2
    assert (found.ending, found.rate) == ("spoiled", None)
    assert len(lost(found)) == 2
    assert "could not be judged" in found.sentence
    (trial,) = result.document.variants[0].trials
    assert trial.invalid_because == [Invalid.PROXY_DIED]
    assert result.document.checks[0].outcome == "inconclusive"
    assert result.exit_code == 5


def test_a_mesh_that_does_not_heal_ends_the_run_and_says_what_is_missing(search):
    result, found, _ = search(Mortal(at=[2], heals=False))
    assert result.exit_code == 3
    assert (found.ending, lost(found)) == ("stopped", [0])
    assert str(result.error).startswith(
        f"{DEAD} during the search for v1, block 1; the mesh was not whole again after 120 s"
    )
