"""What istiod did and what proxies and applications used: one small table, or none."""

from __future__ import annotations

import json
from dataclasses import asdict

from runner.report.resources import resources
from runner.results.document.evidence import ControlPlane, PartUsage
from runner.results.trial import TrialFile


def _with(run, change):
    files = [TrialFile.from_json(json.loads(json.dumps(file.to_json()))) for file in run.trials]
    for file in files:
        change(file)
    return [TrialFile.from_json(json.loads(json.dumps(file.to_json()))) for file in files]  # as it comes from the disk


def _cells(table):
    return {row.cells[0].text: [cell.text for cell in row.cells[1:]] for group in table.groups for row in group.rows}


def test_nothing_known_is_no_table(run):
    assert resources(run.document, run.trials) is None


def test_medians_of_the_trials_that_count(run):
    def change(file):
        file.applying = ControlPlane(pushes={"rds": 8, "cds": 8}, converged=16, convergence_ms=12.5)
        file.control_plane = ControlPlane(rejects=2)
        file.usage = [
            PartUsage(workload="reviews-v2", part="proxy", cores=0.05, memory_mb=50),
            PartUsage(workload="productpage-v1", part="proxy", cores=0.15, memory_mb=60),
            PartUsage(workload="productpage-v1", part="app", memory_mb=40),
        ]
        if (file.block, file.attempt) == (2, 1):  # superseded
            file.control_plane = ControlPlane(rejects=1000)

    table = resources(run.document, _with(run, change))
    assert table is not None
    found = _cells(table)
    assert found["Pushes to apply the variant"] == ["16", "16"]
    assert found["Mean time of these pushes"] == ["12.5 ms", "12.5 ms"]
    assert found["Pushes in the window"] == ["0", "0"]
    assert found["Rejected pushes in the window"] == ["2", "2"]
    assert found["Proxies, CPU"] == ["0.20 cores", "0.20 cores"]
    assert found["Proxies, memory"] == ["110 MB", "110 MB"]
    assert found["Applications, memory"] == ["40 MB", "40 MB"]
    assert "Applications, CPU" not in found  # nobody said
    busiest = next(row for group in table.groups for row in group.rows if row.cells[0].text == "Proxies, CPU")
    assert busiest.cells[1].sub == "productpage-v1 0.15 cores"


def test_what_one_part_does_not_say_is_not_added_up(run):
    def change(file):
        file.usage = [
            PartUsage(workload="a", part="proxy", cores=0.05),
            PartUsage(workload="b", part="proxy", memory_mb=5),
        ]

    assert resources(run.document, _with(run, change)) is None


def test_trials_of_older_versions_have_none_of_it(run):
    data = run.trials[0].to_json()
    for key in ("applying", "control_plane", "usage"):
        del data[key]
    old = TrialFile.from_json(data)
    assert (old.applying, old.control_plane, old.usage) == (None, None, [])
    assert asdict(old)["usage"] == []
