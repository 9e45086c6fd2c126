"""Searches against a real server of known capacity, with the real Locust: what is found, what is told, what is left."""

import pytest

from runner.conduct import capacity_record as searching
from runner.conduct.capacity import CAPACITY
from runner.conduct.capacity_record import prepared
from runner.conduct.run import RunOptions, run
from runner.errors import InputError
from runner.report.html import write_report
from runner.results.document.trial import Invalid
from runner.results.store import RunFolder
from runner.spec.load import Overrides, load_experiment

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
load: {{locust: {{file: load.py}}, warmup: 0s{load}}}
{capacity}
checks: {checks}
{more}
"""
pytestmark = pytest.mark.slow

CAPACITY_KEY = 'capacity: {{objective: "p99 < {limit} and error_rate < 1%", from: {start}/s, to: {to}/s}}'
SMALL = {
    "seconds": 3.0,
    "duration_sum": 9.0,
    "probe": 1.0,
    "guess": 2.0,
    "lead": 1.0,
    "width": 0.2,
    "coarse": 0.3,
    "sure": 0.1,
}
"""A search of few seconds: what it finds is rough, what it does is the same."""


class Told:
    """A progress that keeps what it was told."""

    def __init__(self):
        self.messages = []

    def message(self, text):
        self.messages.append(text)

    def step(self, step):
        pass

    def second(self, second):
        pass

    def trial(self, record):
        pass

    def stopping(self, number):
        pass


@pytest.fixture
def search(tmp_path, queue_server, monkeypatch, own_state):
    monkeypatch.setattr(searching, "QUICK", SMALL)
    (tmp_path / "load.py").write_text(LOAD)

    def carry_out(start, to, checks="{}", url=None, more=""):
        key = CAPACITY_KEY.format(limit="250ms", start=start, to=to)
        text = EXPERIMENT.format(url=url or queue_server, capacity=key, checks=checks, load="", more=more)
        (tmp_path / "queue.yaml").write_text(text)
        loaded = load_experiment(tmp_path / "queue.yaml", overrides=Overrides(quick=True, blocks=1))
        told = Told()
        result = run(prepared(loaded), RunOptions(tmp_path / "results", seed=1), told, method=CAPACITY)
        return result, told

    return carry_out


def test_the_capacity_of_a_real_server_is_found_checked_and_reported(search):
    result, told = search(40, 200, checks='{v1: ["capacity >= 30/s", "p50 < 1s"]}')
    document = result.document
    (variant,) = document.variants
    (found,) = variant.capacity_searches
    assert found.ending in {"found", "wide"}, found.sentence
    assert variant.capacity == {"rate": found.rate, "low": found.low, "high": found.high}
    assert 50 < found.low <= found.rate <= found.high < 150
    assert found.load_s <= 60
    assert [check.outcome for check in document.checks] == ["held"]
    assert (document.verdict, result.exit_code) == ("pass", 0)
    assert "left to `meshtrial run`" in " ".join(told.messages)
    assert variant.rate == pytest.approx(found.low, rel=0.1), "figures are those at the rate that is kept"
    assert variant.latency_ms.p99 < 250
    assert {step.outcome for step in found.steps} == {"held", "failed"}
    assert found.steps[0].rate == 40
    folder = RunFolder.open(result.folder)
    (trial,) = folder.trials()
    assert sum(
        cell.requests for second in trial.window.seconds for c in second.cells.values() for cell in c.values()
    ) == (sum(step.requests for step in found.steps))
    assert folder.document().variants[0].capacity_searches == [found]
    assert "Search for v1" in write_report(folder).read_text()


def test_a_lower_end_that_fails_is_inconclusive_with_the_evidence(search):
    result, _ = search(200, 400, checks='{v1: ["capacity >= 30/s"]}')
    (found,) = result.document.variants[0].capacity_searches
    assert (found.ending, found.rate) == ("lower_end_fails", None)
    assert "even at 200/s, the lower end of the range" in found.sentence
    assert result.exit_code == 5
    assert result.document.checks[0].outcome == "inconclusive"
    assert "200/s" in result.document.checks[0].reason
    assert all(step.load_s < 4 for step in found.steps if step.seconds == 3), "hopeless trials end early"


def test_an_upper_end_that_holds_is_inconclusive_with_the_evidence(search):
    result, _ = search(10, 20, checks='{v1: ["capacity >= 10/s"]}')
    (found,) = result.document.variants[0].capacity_searches
    assert (found.ending, found.rate, found.low) == ("upper_end_holds", None, 20)
    assert "still keeps" in found.sentence
    assert (result.document.verdict, result.exit_code) == ("inconclusive", 5)
    assert result.document.reason.startswith("No capacity was found for v1: it still keeps")


def test_a_target_that_refuses_is_inconclusive_and_no_bad_input(search):
    result, _ = search(20, 100, url="http://127.0.0.1:9")
    assert result.exit_code == 5
    (found,) = result.document.variants[0].capacity_searches
    assert found.ending == "lower_end_fails"
    assert "no request was answered" in found.sentence


def test_a_generator_that_is_the_limit_is_told_and_never_held_against_the_service(search, monkeypatch):
    judged = searching.CapacityRecord.judged

    def short_of_cpu(self, trial, outcome):
        """As on a machine where the generator needs a whole core from 30/s on."""
        if outcome.evidence.window.scheduled > 35 * outcome.evidence.window.length:
            outcome.evidence.window.generator_cpu = 0.97
        return judged(self, trial, outcome)

    monkeypatch.setattr(searching.CapacityRecord, "judged", short_of_cpu)
    result, _ = search(60, 200, checks='{v1: ["capacity >= 30/s"]}')
    assert result.exit_code == 5
    (variant,) = result.document.variants
    (found,) = variant.capacity_searches
    assert (found.ending, found.rate, found.high) == ("spoiled", None, None)
    assert 60 <= found.low < 150
    assert variant.trials[0].invalid_because == [Invalid.GENERATOR_CPU]
    assert any("load generator, not the service" in warning for warning in result.document.warnings)


def test_a_guardrail_ends_the_run(search):
    result, _ = search(20, 400, more='stop_if: ["p50 > 15ms"]')
    assert (result.document.verdict, result.exit_code) == ("aborted", 4)
    (found,) = result.document.variants[0].capacity_searches
    assert (found.ending, len(result.document.variants[0].trials)) == ("stopped", 1)


def test_an_experiment_without_an_objective_is_refused_with_what_to_write(tmp_path):
    (tmp_path / "load.py").write_text(LOAD)
    text = EXPERIMENT.format(url="http://127.0.0.1:9", capacity="", checks="{}", load="", more="")
    (tmp_path / "queue.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        prepared(load_experiment(tmp_path / "queue.yaml"))
    (problem,) = caught.value.problems
    assert "no objective" in problem.message
    assert 'objective: "p99 < 250ms' in problem.suggestion


def test_too_few_searches_for_a_comparison_are_told_before(tmp_path):
    (tmp_path / "load.py").write_text(LOAD)
    text = EXPERIMENT.format(
        url="http://127.0.0.1:9",
        capacity=CAPACITY_KEY.format(limit="250ms", start=20, to=40),
        checks='{v2 vs v1: ["capacity >= -5%"]}',
        load=", users: 3",
        more="",
    )
    (tmp_path / "queue.yaml").write_text(text.replace("{v1: {}}", "{v1: {}, v2: {}}"))
    warnings = prepared(load_experiment(tmp_path / "queue.yaml", overrides=Overrides(blocks=1))).warnings
    assert any("1 search of each variant can't decide a comparison: use --blocks 6" in text for text in warnings)
    assert any("load.users is not used" in text for text in warnings)
