"""The shipped experiments as users get them: each reads well, says what its guide section says, can be decided."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.conduct.plan import make_plan
from runner.istio.lint import PodLabels, lint
from runner.istio.load import merge
from runner.istio.peer_authentication import ROOT_NAMESPACE
from runner.mesh.local.appfile import find_app, load_app
from runner.spec.checks import blocks_needed
from runner.spec.load import LoadedExperiment, load_experiment
from runner.spec.mesh import LocalMesh
from runner.spec.metrics import Metric
from runner.spec.overrides import Overrides
from runner.yamlfile.documents import read_documents

if TYPE_CHECKING:
    from runner.istio.resource import Resource
    from runner.mesh.local.appfile import AppFile

FOLDER = Path(__file__).parents[2] / "experiments"
FILES = sorted(FOLDER.glob("*.yaml"))
VARIANTS = {
    "request-timeout": ["slow-ratings", "timeout-500ms"],
    "delay-fault": ["baseline", "delay-7s"],
    "delay-fault-fixed": ["baseline", "delay-2s"],
    "abort-fault": ["baseline", "abort-500"],
    "circuit-breaker": ["baseline", "tripping"],
    "circuit-breaker-fortio": ["two-connections", "three-connections"],
    "traffic-mirroring": ["baseline", "mirror-v2"],
    "traffic-shifting": ["all-v1", "half-v3", "all-v3"],
    "capacity-reviews-v1-v3": ["all-v1", "all-v3"],
    "reviews-outage": ["without-timeout", "with-timeout"],
    "authorization": ["open", "allow-nothing", "productpage-viewer", "details-and-reviews-viewers", "all-viewers"],
    "mutual-tls": [
        "mesh-client",
        "mesh-client-to-legacy",
        "legacy-client",
        "strict-mesh-client",
        "strict-legacy-client",
    ],
    "timeout-sweep": ["no-timeout", "timeout-0.2s", "timeout-0.5s", "timeout-0.8s", "timeout-1.3s", "timeout-2s"],
}
SECTIONS = {
    "request-timeout": "Setting Request Timeouts",
    "delay-fault": "Injecting an HTTP Delay Fault",
    "delay-fault-fixed": "Injecting an HTTP Delay Fault",
    "abort-fault": "Injecting an HTTP Abort Fault",
    "circuit-breaker": "Creating Circuit Breakers",
    "circuit-breaker-fortio": "Creating Circuit Breakers",
    "traffic-mirroring": "mirroring",
    "traffic-shifting": "Shifting Traffic",
    "capacity-reviews-v1-v3": "Shifting Traffic",
    "timeout-sweep": "Setting Request Timeouts",
    "reviews-outage": "Setting Request Timeouts",
    "authorization": "Configurating Authorization",
    "mutual-tls": "Configuring Authentication",
}

each = pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])


@cache
def loaded(path: Path, *, quick: bool = False) -> LoadedExperiment:
    return load_experiment(path, overrides=Overrides(quick=quick))


@cache
def app_named(name: str) -> AppFile:
    return load_app(find_app(name))


def app_of(path: Path) -> AppFile:
    mesh = loaded(path).experiment.mesh
    assert isinstance(mesh, LocalMesh)
    return app_named(mesh.app)


def states(path: Path) -> dict[str, list[Resource]]:
    """By variant, everything that the mesh holds during its trials."""
    return {variant.name: merge(app_of(path).resources, variant.put) for variant in make_plan(loaded(path), 1).variants}


def metrics(path: Path) -> list[Metric]:
    found = [
        part for check in loaded(path).checks for part in (check.metric, check.operand) if isinstance(part, Metric)
    ]
    assert found
    return found


def test_the_seven_are_there() -> None:
    assert {path.stem for path in FILES} == set(VARIANTS)
    readme = (FOLDER / "README.md").read_text()
    for name in VARIANTS:
        assert f"| `{name}` |" in readme


@each
@pytest.mark.parametrize("quick", [False, True])
def test_it_is_valid_without_a_warning(path: Path, quick: bool) -> None:
    found = loaded(path, quick=quick)
    assert found.experiment.experiment == path.stem
    assert found.warnings == ()
    assert found.checks
    assert found.guardrails
    assert found.experiment.question.endswith("?")


@each
def test_it_has_its_variants_and_each_is_checked(path: Path) -> None:
    found = loaded(path)
    names = list(found.experiment.variants)
    assert names == VARIANTS[path.stem]
    (document,) = read_documents(path)
    for key in document.data["checks"]:
        assert set(key.split(" vs ")) <= set(names)
    assert {check.variant for check in found.checks} == set(names)


@each
def test_it_cites_its_section_of_the_guide(path: Path) -> None:
    description = " ".join(loaded(path).experiment.description.split())
    assert 'guide "Working with Istio as a Standalone Program"' in description
    assert SECTIONS[path.stem] in description


@each
def test_its_states_walk_into_no_trap(path: Path) -> None:
    workloads = app_of(path).workloads.values()
    pods = [
        PodLabels(workload.labels, workload.namespace, workload.replicas, workload.ports, workload.sidecar)
        for workload in workloads
    ]
    for name, state in states(path).items():
        assert [str(finding) for finding in lint(state, pods)] == [], name


@each
def test_its_variants_differ(path: Path) -> None:
    variants = loaded(path).experiment.variants
    spelled = {
        name: ([resource.canonical() for resource in state], variants[name].load.model_dump_json())
        for name, state in states(path).items()
    }
    baseline, *others = spelled.values()
    assert all(other != baseline for other in others)


ASK = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("loadfile", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(json.dumps({name: getattr(user, "page_name", None) for name, user in vars(module).items() if isinstance(user, type)}))
"""


@cache
def users_of(loadfile: Path) -> dict[str, str | None]:
    """By user class of a loadfile, the request name it gives its page; asked in a process, as Locust patches its own."""
    done = subprocess.run([sys.executable, "-c", ASK, loadfile], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@each
def test_its_checks_speak_of_what_the_loadfile_does(path: Path) -> None:
    load = loaded(path).experiment.variants[loaded(path).experiment.baseline].load
    if load.fortio:
        assert all(metric.request is None and metric.name != "outcome" for metric in metrics(path))
        return
    locust = load.locust
    assert locust is not None
    users = users_of(locust.file)
    texts = {
        node.value
        for node in ast.walk(ast.parse(locust.file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(locust.users) <= set(users)
    for metric in metrics(path):
        if metric.request is not None:
            assert metric.request in {users[name] for name in locust.users}, metric
        if metric.name == "outcome":
            assert metric.argument in texts, metric


@each
def test_its_checks_speak_of_workloads_that_are_there(path: Path) -> None:
    for metric in metrics(path):
        if metric.name == "proxy":
            assert metric.stat[0] in app_of(path).workloads, metric


@each
def test_faults_are_proved_by_the_proxy(path: Path) -> None:
    faulty = {
        name
        for name, state in states(path).items()
        for resource in state
        if any("fault" in route for route in resource.spec.get("http", []))
    }
    named = "fault" in path.stem
    proved = {
        check.variant
        for check in loaded(path).checks
        if re.search(r"proxy\[\S+ fault\.(delays|aborts)_injected\]", check.text)
    }
    assert proved == (faulty if named else set())


@each
def test_a_quick_run_can_decide_its_comparisons(path: Path) -> None:
    found = loaded(path, quick=True)
    comparisons = [check for check in found.checks if check.baseline]
    assert found.experiment.blocks >= blocks_needed(len(comparisons))
    for check in comparisons:
        if check.metric.name == "capacity":
            continue  # `meshtrial capacity` makes its own load
        load = found.experiment.variants[check.variant].load
        assert load.arrivals is not None
        assert load.arrivals.rate is not None
        assert check.metric.request is None, "too few requests of one name in a quick trial"
        share = check.metric.quantile
        assert share is not None
        phases = found.experiment.variants[check.variant].phases
        # a second of each phase goes to the switch
        seconds = getattr(phases, check.metric.phase) - 1 if phases and check.metric.phase else load.duration
        assert load.arrivals.rate * seconds * (1 - share) >= 50


def test_every_manifest_is_used() -> None:
    used = {
        entry
        for path in FILES
        for entries in (loaded(path).experiment.setup, *(v.apply for v in loaded(path).experiment.variants.values()))
        for entry in entries
        if isinstance(entry, Path)
    }
    assert {entry.resolve() for entry in used} == set((FOLDER / "istio").resolve().glob("*"))


@pytest.mark.parametrize("path", sorted((FOLDER / "istio").glob("*.yaml")), ids=lambda path: path.stem)
def test_manifests_are_istios_v1_in_no_namespace_of_ours(path: Path) -> None:
    for document in read_documents(path):
        assert document.data["apiVersion"] in {"networking.istio.io/v1", "security.istio.io/v1"}
        metadata = document.data["metadata"]
        assert set(metadata) == {"name"} or metadata["namespace"] == ROOT_NAMESPACE
    assert path.read_text().startswith("# ")
