"""Istio's own samples, which are what users will apply."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import InputError
from runner.istio.lint import lint, pods_of_deployments
from runner.istio.load import load_manifests, merge

FOLDER = Path(__file__).parents[2].parent / "shared" / "reference" / "manifests"
REFUSED = {
    "bookinfo-ingress.yaml": ['19:7: the embedded mesh does not know the kind "Ingress"'],
    "egress-rule-google-apis.yaml": [
        "2:7: ServiceEntry is a kind of Istio's that the embedded mesh does not support yet",
        "46:15: spec.trafficPolicy.portLevelSettings.0.tls.mode: the mode SIMPLE, TLS with certificates of one's own, is one",
    ],
}

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"Istio's samples are not at {FOLDER}")

FILES = sorted(path.name for path in FOLDER.glob("*.yaml")) if FOLDER.is_dir() else []


@pytest.mark.parametrize("name", [name for name in FILES if name not in REFUSED])
def test_a_sample_is_read(name):
    assert load_manifests(FOLDER / name)


@pytest.mark.parametrize(("name", "problems"), REFUSED.items())
def test_a_sample_that_is_not_supported_yet_says_what(name, problems):
    with pytest.raises(InputError) as error:
        load_manifests(FOLDER / name, name)
    found = [str(problem) for problem in error.value.problems]
    assert len(found) == len(problems)
    for text, start in zip(found, problems, strict=True):
        assert text.startswith(f"{name}:{start}")


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("virtual-service-")])
def test_bookinfos_samples_walk_into_no_trap(name):
    app = load_manifests(FOLDER / "bookinfo.yaml")
    base = [*app, *load_manifests(FOLDER / "bookinfo-gateway.yaml")]
    state = merge(base, load_manifests(FOLDER / "destination-rule-all.yaml"), load_manifests(FOLDER / name))
    assert lint(state, pods_of_deployments(app)) == []


def test_without_destination_rules_the_subsets_are_missed():
    app = load_manifests(FOLDER / "bookinfo.yaml")
    found = lint(merge(app, load_manifests(FOLDER / "virtual-service-all-v1.yaml")), pods_of_deployments(app))
    assert [finding.severity for finding in found] == ["error"] * 4
