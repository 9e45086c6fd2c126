"""The embedded mesh with real Envoys: what is applied is held, what is refused is put back, what is restored is as before."""

import http.client
import time
import urllib.parse

import pytest

from runner.errors import ConfigRejectedError, InputError, MeshError
from runner.mesh.local import launch
from runner.mesh.local.mesh import LocalMesh
from runner.mesh.local.topology import HTTP_PROXY_PORT

DELAY = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: details}
spec:
  hosts: [details]
  http:
  - fault: {abort: {percentage: {value: 100}, httpStatus: 418}}
    route: [{destination: {host: details}}]
"""


def get(url, headers=None, path="/"):
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode(), dict(response.getheaders())
    finally:
        connection.close()


def test_the_page_enters_at_the_gateway(bookinfo):
    status, body, headers = get(bookinfo.gateway_url(), path="/productpage")
    assert status == 200
    assert "The Comedy of Errors" in body
    assert headers["server"] == "istio-envoy"
    assert get(bookinfo.gateway_url(), path="/any")[0] == 404


def test_load_may_leave_from_a_workload_through_its_sidecar(bookinfo):
    entry = bookinfo.entry("client")
    assert get(entry.url, entry.headers, "/productpage")[0] == 200
    elsewhere = bookinfo.entry("client", "details:9080")
    assert '"year"' in get(elsewhere.url, elsewhere.headers, "/details/0")[1]
    client = bookinfo.find_pod("client")
    proxied = get(
        f"http://{client.outbound}:{HTTP_PROXY_PORT}", {"Host": "details:9080"}, "http://details:9080/details/7"
    )
    assert proxied[0] == 200
    stats = bookinfo.admin("/stats?filter=outbound%5C%7C9080%5C%7C%5C%7Cdetails.*upstream_rq_200")["client"]
    assert "cluster.outbound|9080||details.default.svc.cluster.local;.upstream_rq_200: 2" in stats


def test_an_unknown_entry_is_refused_with_the_known_ones(bookinfo):
    with pytest.raises(InputError, match=r"no workload \"clint\".*one of gateway.*client.*Did you mean \"client\""):
        bookinfo.entry("clint")


def test_what_is_applied_is_held_by_every_proxy_and_undone_exactly(bookinfo, manifests):
    before, held_before = bookinfo.applied(), bookinfo.versions()
    assert set(held_before) == set(bookinfo.describe().proxies)
    versions = bookinfo.apply(manifests(DELAY))
    assert bookinfo.versions() == versions
    assert versions["productpage-v1"] != held_before["productpage-v1"]
    assert get(bookinfo.gateway_url(), path="/api/v1/products/0")[0] == 418
    bookinfo.restore(before)
    assert bookinfo.versions() == held_before
    assert bookinfo.applied() == before
    assert get(bookinfo.gateway_url(), path="/api/v1/products/0")[0] == 200


def test_every_change_is_in_effect_when_apply_returns(bookinfo, manifests):
    before = bookinfo.applied()
    try:
        for status in (401, 402, 403, 404, 405, 406, 407, 408, 409, 410):
            bookinfo.apply(manifests(DELAY.replace("418", str(status))))
            assert get(bookinfo.gateway_url(), path="/api/v1/products/0")[0] == status
    finally:
        bookinfo.restore(before)


def test_what_envoy_refuses_is_told_in_its_words_and_put_back(bookinfo, manifests):
    before = bookinfo.versions()
    bad = DELAY.replace("- fault", "- match: [{uri: {regex: '[[:nonsense:]]'}}]\n    fault")
    with pytest.raises(ConfigRejectedError) as caught:
        bookinfo.apply(manifests(bad))
    assert "invalid character class range" in str(caught.value)
    assert "test.yaml" in str(caught.value)
    assert "test.yaml:2:1" in str(caught.value)
    assert "given back" in str(caught.value)
    assert bookinfo.versions() == before
    assert get(bookinfo.gateway_url(), path="/productpage")[0] == 200


def test_a_workload_that_the_app_does_not_have_is_refused(bookinfo, manifests):
    deployment = """
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: reviews-v9}
    spec:
      selector: {matchLabels: {app: reviews}}
      template: {metadata: {labels: {app: reviews}}, spec: {containers: [{name: c, ports: [{containerPort: 9080}]}]}}
    """
    with pytest.raises(InputError, match=r"test\.yaml:.*no workload reviews-v9"):
        bookinfo.apply(manifests(deployment))


def test_two_commands_never_change_a_mesh_at_once(bookinfo):
    with (
        bookinfo.hold("the first"),
        pytest.raises(MeshError, match=r"in use by the first \(process \d+\)"),
        bookinfo.hold("the second"),
    ):
        pytest.fail("both held it")


def test_a_half_written_config_is_put_right_by_the_next_who_holds_the_mesh(bookinfo):
    held = bookinfo.versions()
    pod = bookinfo.find_pod("details-v1")
    paths = launch.pod_paths(bookinfo.instance.folder, pod)
    paths.cds.with_name("stray").write_text('{"version_info": "stray", "resources": []}')
    paths.cds.with_name("stray").replace(paths.cds)
    deadline = 5000
    while bookinfo.versions() == held and deadline:
        deadline -= 1
    assert bookinfo.versions()["details-v1"].startswith("other-")
    with bookinfo.hold("a test"):
        assert bookinfo.versions() == held


def test_several_meshes_run_side_by_side(bookinfo, own_state):
    other = LocalMesh.start("httpbin")
    try:
        assert get(other.gateway_url(), path="/status/204")[0] == 204
        assert get(bookinfo.gateway_url(), path="/productpage")[0] == 200
        prefixes = {mesh.find_pod("client").address.rpartition(".")[0] for mesh in (bookinfo, other)}
        assert len(prefixes) == 2
    finally:
        other.close()
    assert not other.instance.folder.exists()


def test_access_logs_of_a_window(bookinfo):
    start = time.time()
    get(bookinfo.gateway_url(), path="/productpage?mark=one")
    wanted = [line for line in () if line]
    deadline = time.monotonic() + 10
    while not wanted and time.monotonic() < deadline:
        lines = bookinfo.access_log(start - 0.01, time.time())["istio-ingressgateway"]
        wanted = [line for line in lines if "mark=one" in line]
    assert len(wanted) == 1
    assert bookinfo.access_log(0, start - 1)["istio-ingressgateway"] == [] or all(
        "mark=one" not in line for line in bookinfo.access_log(0, start - 1)["istio-ingressgateway"]
    )
