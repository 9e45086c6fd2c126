"""Config that no proxy holds, or that others' config outdoes, on a real cluster: told before or after the write, and never measured."""

import contextlib
import time

import pytest

from runner.errors import InputError, MeshError
from runner.istio.load import merge, parse_manifests
from runner.mesh.cluster.dump import config_source
from runner.mesh.cluster.traces import made_by
from runner.spec.load_profile import GATEWAY
from tests.cluster.shop import KEPT, connection, door, eventually, held_mesh, made, new_namespace, part_of_bookinfo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NETWORKING = "/apis/networking.istio.io/v1/namespaces"
TIMEOUT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings}
spec:
  hosts: [ratings]
  http: [{route: [{destination: {host: ratings}}], timeout: 900ms}]
"""
LIMIT = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: client}
spec: {host: unseen.NAMESPACE.svc.cluster.local, trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}}
"""


@pytest.fixture(scope="module")
def namespace(kubeconfig):
    with part_of_bookinfo(kubeconfig, KEPT, more=door) as name:
        yield name


@pytest.fixture(scope="module")
def elsewhere(kubeconfig):
    """Another namespace, without pods."""
    with connection(kubeconfig) as api:
        name = new_namespace(api)
        yield name
        api.call("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def mesh(namespace, kubeconfig, tmp_path):
    with held_mesh(kubeconfig, namespace, tmp_path) as found:
        yield found


@pytest.fixture
def api(kubeconfig, mesh):
    with connection(kubeconfig) as found:
        yield found


def read(text, namespace):
    return parse_manifests(text.replace("NAMESPACE", namespace), "a.yaml", namespace=namespace, embedded=False)


def state_with(mesh, put):
    return merge(mesh.applied(), put)


@contextlib.contextmanager
def foreign(api, namespace, kind, name, spec):
    """Somebody else's object for a moment."""
    body = {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    with made(api, f"{NETWORKING}/{namespace}/{kind.lower()}s", body):
        yield


def sidecar(hosts, **labels):
    return {"egress": [{"hosts": hosts}], **({"workloadSelector": {"labels": labels}} if labels else {})}


def test_a_sidecar_resource_that_hides_a_host_from_all_is_told_before_anything_is_touched(mesh, api, namespace):
    put = read(TIMEOUT, namespace)
    with foreign(api, namespace, "Sidecar", "narrow", sidecar(["istio-system/*"])):
        before = [item.canonical() for item in mesh.applied()]
        with pytest.raises(
            MeshError, match=f"no proxy would hold VirtualService {namespace}/ratings: Sidecar {namespace}/narrow hides"
        ):
            mesh.check(state_with(mesh, put))
        assert [item.canonical() for item in mesh.applied()] == before


def test_one_that_hides_it_from_some_is_a_warning_and_the_others_hold_it(mesh, api, namespace):
    put = read(TIMEOUT, namespace)
    with foreign(api, namespace, "Sidecar", "some", sidecar(["istio-system/*"], app="ratings")):
        snapshot = mesh.applied()
        warnings = mesh.check(state_with(mesh, put))
        said = f"Sidecar {namespace}/some hides VirtualService {namespace}/ratings from ratings-v1: "
        assert any(text.startswith(said) for text in warnings)
        mesh.apply(put)
        holding = {name for name, dump in mesh._confirmer.last.items() if list(made_by(dump, put[0].key))}
        assert holding == {"client"}
        mesh.restore(snapshot)


def test_what_istiod_gave_to_nobody_ends_the_run_and_is_given_back_with_what_stood_there_hidden(mesh, api, namespace):
    """The Sidecar resource comes between the check and the write, so nothing but the proxies can tell."""
    first = read(TIMEOUT.replace("900ms", "2s"), namespace)
    mesh.apply(first)
    snapshot, put = mesh.applied(), read(TIMEOUT, namespace)
    mesh.check(state_with(mesh, put))
    with foreign(api, namespace, "Sidecar", "late", sidecar(["istio-system/*"])):
        eventually(lambda: not _holders(mesh, put[0].key), 30)
        with pytest.raises(
            MeshError, match=f"no proxy holds VirtualService {namespace}/ratings; does a Sidecar resource"
        ):
            mesh.apply(put)
        mesh.apply(first)
        assert {item.key: item.canonical() for item in mesh.applied() if item.key.kind == "VirtualService"} == {
            item.key: item.canonical() for item in snapshot if item.key.kind == "VirtualService"
        }
    mesh.restore([item for item in snapshot if item.key != first[0].key])


def _holders(mesh, key):
    mesh.versions()
    return [name for name, dump in mesh._confirmer.last.items() if next(made_by(dump, key), None) is not None]


def test_a_destination_rule_for_a_host_that_no_proxy_has_a_cluster_for_ends_the_run(mesh, namespace):
    put, snapshot = read(LIMIT, namespace), mesh.applied()
    mesh._confirmer.planned.update((item.key, item.canonical()) for item in put)
    with pytest.raises(
        MeshError, match=f"no proxy holds DestinationRule {namespace}/client; .*or does no Service have its host"
    ):
        mesh.apply(put)
    mesh.restore(snapshot)
    assert [item.canonical() for item in mesh.applied()] == [item.canonical() for item in snapshot]


def test_ours_that_is_exported_elsewhere_only_is_refused(mesh, namespace):
    put = read(TIMEOUT.replace("  hosts: [ratings]", "  exportTo: [other]\n  hosts: [ratings]"), namespace)
    with pytest.raises(InputError, match=r"a.yaml:6:13: the proxies of .* would not get VirtualService .*/ratings"):
        mesh.check(state_with(mesh, put))


def to_ratings(namespace, **more):
    return {"route": [{"destination": {"host": f"ratings.{namespace}.svc.cluster.local"}}], **more}


def test_an_older_virtual_service_elsewhere_that_names_our_namespace_is_refused(mesh, api, namespace, elsewhere):
    host = f"ratings.{namespace}.svc.cluster.local"
    spec = {"hosts": [host], "exportTo": [namespace], "http": [to_ratings(namespace)]}
    words = f"already has VirtualService {elsewhere}/theirs for the host ratings"
    with foreign(api, elsewhere, "VirtualService", "theirs", spec), pytest.raises(InputError, match=words):
        mesh.check(state_with(mesh, read(TIMEOUT, namespace)))
    with foreign(api, elsewhere, "VirtualService", "theirs", {**spec, "exportTo": ["another"]}):
        mesh.check(state_with(mesh, read(TIMEOUT, namespace)))


def test_one_for_a_wildcard_does_not_take_our_host(mesh, api, namespace, elsewhere):
    put, snapshot = read(TIMEOUT, namespace), mesh.applied()
    spec = {"hosts": [f"*.{namespace}.svc.cluster.local"], "http": [to_ratings(namespace, timeout="5s")]}
    with foreign(api, elsewhere, "VirtualService", "wild", spec):
        time.sleep(1.1)  # of an age by which istiod can tell them apart: it counts seconds
        mesh.check(state_with(mesh, put))
        mesh.apply(put)
        assert set(_holders(mesh, put[0].key)) >= {"client", "ratings-v1"}
        mesh.restore(snapshot)


def at_our_door(namespace, path):
    answer = {"directResponse": {"status": 299, "body": {"string": "hello"}}}
    match = {"match": [{"uri": {"prefix": path}}]} if path else {}
    return {"hosts": [f"{namespace}.example"], "gateways": [f"{namespace}/door"], "http": [{**match, **answer}]}


def _at_the_gateway(mesh, namespace):
    """From whose VirtualService the gateway's routes for the shop's host came, in order."""
    mesh.versions()
    (dump,) = [dump for name, dump in mesh._confirmer.last.items() if mesh._fleet.clients[name].pod.gateway]
    return [
        config_source(route)[1]
        for _, host in dump.virtual_hosts()
        if f"{namespace}.example" in host["name"]
        for route in host["routes"]
        if config_source(route)
    ]


def test_who_answers_at_our_gateway_is_told_and_nothing_is_measured_where_it_is_not_ours(
    mesh, api, namespace, elsewhere
):
    host = f"{namespace}.example"
    with foreign(api, elsewhere, "VirtualService", "first", at_our_door(namespace, "/ratings")):
        eventually(lambda: _at_the_gateway(mesh, namespace) == [elsewhere, namespace], 30)
        (told,) = [text for text in mesh.check(mesh.applied()) if f"{elsewhere}/first" in text]
        assert "looks at its /ratings* before routes of" in told
        assert mesh.entry_problems(mesh.applied(), GATEWAY, host) == []
    with foreign(api, elsewhere, "VirtualService", "rest", at_our_door(namespace, "")):
        eventually(lambda: _at_the_gateway(mesh, namespace) == [namespace, elsewhere], 30)
        (told,) = [text for text in mesh.check(mesh.applied()) if f"{elsewhere}/rest" in text]
        assert "it answers what the routes of" in told
        assert mesh.entry_problems(mesh.applied(), GATEWAY, host) == []
        ours = next(item for item in mesh.applied() if item.key.kind == "VirtualService" and item.key.name == "door")
        mesh.apply([], [ours.key])
        time.sleep(1.1)  # to be younger
        mesh.apply([ours])
        eventually(lambda: _at_the_gateway(mesh, namespace) == [elsewhere, namespace], 30)
        ((key, problem),) = mesh.entry_problems(mesh.applied(), GATEWAY, host)
        assert key == "from"
        assert f"Istio lets it answer /* in the place of VirtualService {namespace}/door" in str(problem)
        assert mesh.entry_problems(mesh.applied(), "client", "ratings:9080") == []
