from __future__ import annotations

import pytest

from runner.report.provenance import facts
from runner.results.document.run import MeshRecord, RunDocument, Verdict


@pytest.mark.parametrize(
    ("mesh", "shown"),
    [
        (MeshRecord(kind="cluster", istio="1.31.0", revisions=["default"]), "1.31.0, revision default"),
        (MeshRecord(kind="cluster", istio="1.31.0", revisions=["a", "b"]), "1.31.0, revisions a, b"),
        (MeshRecord(kind="cluster", revisions=["a"]), "revision a"),
        (MeshRecord(kind="local"), None),
    ],
)
def test_istios_version_and_revisions_are_shown(mesh, shown):
    document = RunDocument(experiment="e", verdict=Verdict.PASS, mesh=mesh)
    assert dict(facts(document)).get("Istio") == shown
    assert RunDocument.model_validate_json(document.model_dump_json()).mesh == mesh
