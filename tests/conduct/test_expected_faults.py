"""What a variant's config must be seen to do: each fault with the services whose requests it is for."""

from __future__ import annotations

import pytest

from runner.conduct.plan import expected_faults, make_plan
from runner.istio.faults import ExpectedFault
from runner.istio.load import resources_from
from runner.spec.load import load_experiment
from runner.yamlfile.documents import read_documents

RATINGS, DETAILS = "ratings.default.svc.cluster.local", "details.default.svc.cluster.local"
TEXT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings}
spec:
  hosts: [ratings]
  http:
    - match: [{headers: {end-user: {exact: jason}}}]
      fault:
        delay: {percentage: {value: 100}, fixedDelay: 2s}
        abort: {percentage: {value: 0}, httpStatus: 500}
      route: [{destination: {host: ratings}}]
    - fault: {abort: {percentage: {value: 10}, httpStatus: 500}}
      route:
        - {destination: {host: ratings, subset: v1}, weight: 50}
        - {destination: {host: details.default.svc.cluster.local}, weight: 50}
    - route: [{destination: {host: ratings}}]
"""


@pytest.fixture
def resources(tmp_path):
    file = tmp_path / "faults.yaml"
    file.write_text(TEXT)
    return [resource for document in read_documents(file, "faults.yaml") for resource in resources_from(document)]


def test_each_fault_is_expected_of_the_services_its_route_leads_to(resources):
    assert expected_faults(resources) == {
        ExpectedFault("delay", (RATINGS,)),
        ExpectedFault("abort", (DETAILS, RATINGS)),
    }
    assert [str(fault) for fault in sorted(expected_faults(resources))] == [
        f"abort fault of {DETAILS} or {RATINGS}",
        f"delay fault of {RATINGS}",
    ]


def _plan(tmp_path, variants, more=""):
    (tmp_path / "load.py").write_text("")
    file = tmp_path / "experiment.yaml"
    file.write_text(f"{more}variants: {{{variants}}}\nload: {{locust: {{file: load.py}}}}\n")
    return {variant.name: variant.faults for variant in make_plan(load_experiment(file), 1).variants}


def _delay(percent):
    return (
        "{apply: [{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: ratings}, spec: {hosts: [ratings], "
        f"http: [{{fault: {{delay: {{percentage: {{value: {percent}}}, fixedDelay: 2s}}}}, "
        "route: [{destination: {host: ratings}}]}]}}]}"
    )


def test_a_fault_of_0_percent_is_expected_where_it_is_no_control(tmp_path):
    delay = {ExpectedFault("delay", (RATINGS,))}
    assert _plan(tmp_path, f"a: {_delay(0)}") == {"a": delay}
    assert _plan(tmp_path, f"a: {{}}, b: {_delay(0)}") == {"a": set(), "b": delay}
    assert _plan(tmp_path, f"a: {_delay(0)}, b: {_delay(50)}") == {"a": set(), "b": delay}
    swept = _delay('"{{ percent }}"')
    assert list(_plan(tmp_path, f'"p-{{{{ percent }}}}": {swept}', "matrix: {percent: [0, 50]}\n").values()) == [
        set(),
        delay,
    ]
