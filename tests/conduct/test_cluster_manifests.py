"""The same experiment read for either mesh: what only a cluster can hold is refused for the embedded mesh, and planned for a cluster."""

import pytest

from runner.conduct.plan import make_plan
from runner.conduct.preview import preview
from runner.errors import InputError
from runner.istio.faults import ExpectedFault
from runner.spec.load import load_experiment

EXPERIMENT = """
mesh: MESH
setup: [entry.yaml]
variants:
  plain: {apply: []}
  logged:
    apply:
    - apiVersion: telemetry.istio.io/v1
      kind: Telemetry
      metadata: {name: default, namespace: istio-system}
      spec: {accessLogging: [{disabled: true}]}
load: {locust: {file: load.py}, arrivals: {rate: 20/s}}
"""
ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside}
spec: {hosts: [example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: outside}
spec:
  hosts: [example.com]
  http:
  - corsPolicy: {allowMethods: [GET]}
    fault: {delay: {percentage: {value: 50}, fixedDelay: 1s}}
    route: [{destination: {host: example.com}}]
"""


@pytest.fixture
def read(tmp_path):
    def plan(mesh, entry=ENTRY):
        (tmp_path / "load.py").write_text("from locust import HttpUser\n")
        (tmp_path / "entry.yaml").write_text(entry)
        path = tmp_path / "e.yaml"
        path.write_text(EXPERIMENT.replace("MESH", mesh))
        return make_plan(load_experiment(path), 1)

    return plan


def test_for_a_cluster_manifests_are_kept_as_written_and_their_faults_are_known(read):
    plan, _ = preview(read("{cluster: {namespace: shop}}"))
    _, logged = plan.variants
    keys = [str(item.key) for item in logged.put]
    assert keys == ["ServiceEntry shop/outside", "VirtualService shop/outside", "Telemetry istio-system/default"]
    assert logged.put[1].spec["http"][0]["corsPolicy"] == {"allowMethods": ["GET"]}
    assert logged.faults == {ExpectedFault("delay", ("example.com",))}


def test_for_the_embedded_mesh_the_same_is_refused_with_every_place(read):
    with pytest.raises(InputError) as error:
        read("{app: bookinfo}")
    found = [str(problem) for problem in error.value.problems]
    assert len(found) == 3
    assert all("that the embedded mesh does not support yet" in problem for problem in found)
    assert any("entry.yaml:13:5: " in problem for problem in found)


def test_a_typo_is_refused_for_both(read):
    for mesh in ("{cluster: {namespace: shop}}", "{app: bookinfo}"):
        with pytest.raises(InputError, match='unknown key "corsPolcy"'):
            read(mesh, ENTRY.replace("corsPolicy", "corsPolcy"))


def test_another_namespace_is_refused_before_a_cluster_is_asked(read):
    plan = read("{cluster: {namespace: shop}}", ENTRY.replace("name: outside}", "name: outside, namespace: other}"))
    with pytest.raises(InputError, match="ServiceEntry other/outside is in another namespace than this run's, shop"):
        preview(plan)
