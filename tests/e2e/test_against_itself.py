"""`meshtrial run --aa`: the baseline against itself, and what difference the set-up can see."""

import pytest

from runner.conduct.run import EXIT_CODES
from runner.results.document.run import Verdict
from runner.results.store import RunFolder


def document(workshop, result):
    folder = RunFolder.open(workshop.folder / result.stdout.strip().splitlines()[-1])
    return folder.document(), (folder.path / "report.html").read_text()


@pytest.mark.slow
def test_six_blocks_say_what_they_can_see(workshop):
    result = workshop.run("run", "--aa", "--blocks", "6", "--seed", "3", "slow.yaml", timeout=240)
    found, page = document(workshop, result)
    assert found.aa
    assert [variant.name for variant in found.variants] == ["as-it-is", "as-it-is (A/A)"]
    assert found.checks == []
    assert "What difference can this set-up see?" in page
    assert "--aa" in found.command
    assert result.returncode == EXIT_CODES[found.verdict]
    if any(not trial.valid and not trial.superseded for variant in found.variants for trial in variant.trials):
        # a busy machine: no proof, and it says so
        assert found.verdict is Verdict.INCONCLUSIVE
        assert "Not every trial is valid" in found.reason
        return
    assert [variant.requests for variant in found.variants] == [480, 480]
    # one run in twenty finds a difference by chance
    assert found.verdict in {Verdict.PASS, Verdict.FAIL}
    assert 0 < found.resolution["error_rate"] < 0.02
    assert found.resolution["mean"] > 0
    assert found.headline.startswith("as-it-is against itself: this set-up can't see differences under ")
    assert found.headline in page.replace("&#39;", "'")


def test_two_blocks_prove_nothing(workshop):
    result = workshop.run("run", "--aa", "--blocks", "2", "--duration", "1s", "slow.yaml", timeout=120)
    found, _ = document(workshop, result)
    assert (result.returncode, found.verdict, found.resolution) == (5, Verdict.INCONCLUSIVE, {})
    assert "can't show whether the set-up differs from itself" in found.reason
