from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from runner.results.document.checks import CheckRecord, ComparisonRecord
from runner.results.document.figures import Figures, Latency
from runner.results.document.run import GuardrailRecord, MeshRecord, RunDocument, Verdict


def test_quantiles_are_written_as_people_write_them() -> None:
    written = Latency(p50=1.5, p99_9=9.0).model_dump(mode="json")
    assert list(written) == ["p50", "p75", "p90", "p95", "p99", "p99.9", "mean", "max"]
    assert Latency.model_validate({"p99.9": 9.0}).p99_9 == 9.0
    assert Latency(p99_9=9.0) == Latency.model_validate({"p99_9": 9.0})


def test_a_document_goes_through_json_and_back(document: RunDocument) -> None:
    document.comparisons = [ComparisonRecord(metric="p50", variant="b", baseline="a", estimate=-0.5, outcome="better")]
    document.checks = [CheckRecord(check="a: p50 < 1s", outcome="held", observed="500 ms")]
    document.guardrail = GuardrailRecord(rule="error_rate > 50%", variant="a", block=2, observed="60 %")
    document.variants[0].by_name["productpage"] = Figures(requests=3, status={"200": 3})
    assert RunDocument.model_validate_json(document.model_dump_json()) == document


def test_the_fields_others_read_are_there(document: RunDocument) -> None:
    data = json.loads(document.model_dump_json())
    assert {"version", "experiment", "verdict", "reason", "seed", "started", "ended", "mesh", "variants"} <= set(data)
    assert {"comparisons", "checks"} <= set(data)
    variant = data["variants"][0]
    assert {"name", "requests", "errors", "error_rate", "dropped", "status", "exceptions", "outcomes", "rate"} <= set(
        variant
    )
    assert {"latency_ms", "service_ms", "by_name", "proxy", "capacity", "trials"} <= set(variant)
    trial = variant["trials"][0]
    assert {"block", "started", "ended", "valid", "invalid_because", "requests", "latency_ms", "attestation"} <= set(
        trial
    )
    assert set(trial["attestation"]) == {"proxies", "faults"}


def test_newer_fields_are_passed_over_and_a_mesh_keeps_its_own() -> None:
    data = {"experiment": "x", "mesh": {"kind": "cluster", "context": "prod"}, "a_field_of_next_year": 1}
    document = RunDocument.model_validate(data)
    assert document.mesh.model_dump()["context"] == "prod"
    assert not hasattr(document, "a_field_of_next_year")


def test_a_new_document_is_no_success() -> None:
    document = RunDocument(experiment="x", mesh=MeshRecord(kind="none"))
    assert document.verdict is Verdict.ERROR
    assert document.mesh == MeshRecord(kind="none")


def test_wrong_words_are_refused() -> None:
    with pytest.raises(ValidationError):
        RunDocument.model_validate({"experiment": "x", "mesh": {"kind": "local"}, "verdict": "maybe"})
    with pytest.raises(ValidationError):
        RunDocument.model_validate({"experiment": "x", "mesh": {"kind": "docker"}})
