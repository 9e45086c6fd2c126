"""What several runs come to together."""

from pathlib import Path

import pytest

from runner.conduct.run import RunResult
from runner.conduct.suite import EXIT_ORDER, Outcome, exit_code_of, suite_document, together, verdict_of
from runner.errors import InputError, MeshError, StoppedError, StorageError
from runner.results.document.checks import CheckRecord
from runner.results.document.run import MeshRecord, RunDocument, Verdict
from runner.spec.load import load_experiment

TEXT = """\
env: [TOKEN]
mesh: {none: {url: "http://127.0.0.1:9/"}}
variants: {a: {}}
load: {locust: {file: load.py}, headers: {authorization: "Bearer {{ env.TOKEN }}"}}
"""


@pytest.fixture
def experiment(tmp_path):
    (tmp_path / "load.py").write_text("")
    path = tmp_path / "shop.yaml"
    path.write_text(TEXT)
    return load_experiment(path, environ={"TOKEN": "hunter2-secret"})


def check(outcome):
    return CheckRecord(check=f"a: {outcome}", outcome=outcome, observed="3")


def ran(experiment, verdict, *, suite=Path("results/suite-x"), error=None, unwritten=None, checks=(), reason="so"):
    document = RunDocument(
        experiment=experiment.experiment.experiment,
        verdict=verdict,
        reason=reason,
        mesh=MeshRecord(kind="none"),
        checks=list(checks),
    )
    result = RunResult(suite / "shop" / "20261124T000000Z-abcdef", document, error)
    return Outcome(experiment, "2026-11-24T00:00:00Z", "2026-11-24T00:00:09Z", result, error or unwritten)


def test_the_exit_code_is_the_first_of_the_order_that_occurred(experiment):
    codes = {
        130: Outcome(experiment, error=StoppedError(2)),
        143: Outcome(experiment, error=StoppedError(15)),
        129: Outcome(experiment, error=StoppedError(1)),
        3: Outcome(experiment, error=MeshError("no port")),
        2: Outcome(experiment, error=InputError("bad")),
        4: ran(experiment, Verdict.ABORTED),
        1: ran(experiment, Verdict.FAIL),
        5: ran(experiment, Verdict.INCONCLUSIVE),
        0: ran(experiment, Verdict.PASS),
    }
    assert list(codes) == list(EXIT_ORDER)
    for place, code in enumerate(EXIT_ORDER):
        assert codes[code].exit_code == code
        left = [codes[other] for other in EXIT_ORDER[place:]]
        assert exit_code_of(left) == exit_code_of(left[::-1]) == exit_code_of([*left, Outcome(experiment)]) == code
    assert exit_code_of([Outcome(experiment)]) == 3


def test_the_verdict_word_follows_the_exit_code():
    found = {code: verdict_of(code) for code in EXIT_ORDER}
    assert {code for code, verdict in found.items() if verdict is Verdict.ABORTED} == {130, 143, 129, 4}
    assert {code for code, verdict in found.items() if verdict is Verdict.ERROR} == {3, 2}
    assert (found[1], found[5], found[0]) == (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


def test_a_pass_whose_report_can_not_be_written_is_no_pass(experiment):
    outcome = ran(experiment, Verdict.PASS, unwritten=StorageError("the disk is full"))
    assert outcome.exit_code == 3
    assert (outcome.entry().verdict, outcome.entry().reason) == (Verdict.ERROR, "the disk is full")
    assert ran(experiment, Verdict.FAIL, unwritten=StorageError("the disk is full")).entry().verdict is Verdict.FAIL


def test_an_entry_counts_the_checks_and_names_the_folder_from_the_suite(experiment):
    checks = [check("held"), check("held"), check("failed"), check("inconclusive")]
    outcome = ran(experiment, Verdict.FAIL, checks=checks)
    entry = outcome.entry(Path("results/suite-x"))
    assert entry.checks.model_dump() == {"held": 2, "failed": 1, "inconclusive": 1}
    assert entry.folder == "shop/20261124T000000Z-abcdef"
    assert outcome.entry().folder == "results/suite-x/shop/20261124T000000Z-abcdef"
    assert Outcome(experiment).entry().verdict is None


def test_values_from_the_environment_reach_no_entry(experiment):
    outcomes = [
        ran(experiment, Verdict.FAIL, reason="Bearer hunter2-secret was refused"),
        Outcome(experiment, error=MeshError("hunter2-secret is in this")),
    ]
    text = suite_document(outcomes, Path("results/suite-x"), started="").model_dump_json()
    assert "hunter2" not in text
    assert "***" in text
    assert "hunter2" not in outcomes[0].document.model_dump_json()


def test_the_reason_counts_and_names_what_did_not_pass(experiment):
    passed, failed = ran(experiment, Verdict.PASS), ran(experiment, Verdict.FAIL)
    inconclusive = ran(experiment, Verdict.INCONCLUSIVE)

    def reason(*outcomes):
        return together([outcome.entry() for outcome in outcomes])

    assert reason(passed, passed) == "All 2 experiments passed."
    assert reason(passed) == "The one experiment passed."
    assert reason(passed, failed, inconclusive, inconclusive, Outcome(experiment)) == (
        "1 of 5 experiments failed: shop; 2 were inconclusive: shop, shop; 1 was not run: shop."
    )


def test_a_suite_under_way_counts_as_one_that_did_not_finish(experiment):
    outcomes = [ran(experiment, Verdict.PASS), Outcome(experiment)]
    under_way = suite_document(outcomes, Path("results/suite-x"), started="2026-11-24T00:00:00Z", over=False)
    assert (under_way.verdict, under_way.exit_code, under_way.reason) == ("error", None, "the suite did not finish")
    over = suite_document(outcomes[:1], Path("results/suite-x"), started="2026-11-24T00:00:00Z")
    assert (over.verdict, over.exit_code) == ("pass", 0)
