"""`meshtrial run --aa`: the baseline against itself, and what difference the set-up can see."""

import pytest

from runner.results.document import Verdict
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
    assert [variant.requests for variant in found.variants] == [480, 480]
    assert found.checks == []
    # a run in twenty finds a difference by chance, and a busy machine may spoil a block
    assert found.verdict in {Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE}
    assert result.returncode == {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.INCONCLUSIVE: 5}[found.verdict]
    assert "error_rate" in found.resolution
    assert 0 < found.resolution["error_rate"] < 0.02
    assert found.headline.startswith("as-it-is against itself: this set-up can't see differences under ")
    assert found.headline in page.replace("&#39;", "'")
    assert "What difference can this set-up see?" in page
    assert "--aa" in found.command


def test_two_blocks_prove_nothing(workshop):
    result = workshop.run("run", "--aa", "--blocks", "2", "--duration", "1s", "slow.yaml", timeout=120)
    found, _ = document(workshop, result)
    assert (result.returncode, found.verdict, found.resolution) == (5, Verdict.INCONCLUSIVE, {})
    assert "can't show whether the set-up differs from itself" in found.reason
