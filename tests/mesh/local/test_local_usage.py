"""CPU time and memory of a real embedded mesh's processes."""

import http.client
from urllib.parse import urlsplit

import pytest

from runner.errors import MeshError
from runner.mesh.local.usage import LocalTelemetry
from runner.probes.usage import over_window


def test_every_process_tells_what_it_used(bookinfo):
    telemetry = bookinfo.telemetry()
    before = telemetry.usage()
    parts = {(usage.workload, usage.part) for usage in before}
    assert {("reviews-v2", "proxy"), ("reviews-v2", "app"), ("istio-ingressgateway", "proxy")} <= parts
    assert all(usage.memory and usage.memory > 5_000_000 for usage in before)
    url = urlsplit(bookinfo.gateway_url())
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
    for _ in range(40):
        connection.request("GET", "/productpage")
        connection.getresponse().read()
    connection.close()
    after = telemetry.usage()
    spent = {(usage.workload, usage.part): usage.cpu for usage in after}
    earlier = {(usage.workload, usage.part): usage.cpu for usage in before}
    assert spent["productpage-v1", "app"] > earlier["productpage-v1", "app"]
    found, why = over_window(before, after, before[0].at, after[0].at)
    assert why == ""
    assert all(part.cores is not None and part.cores >= 0 for part in found)


def test_it_has_no_prometheus_and_no_istiod(bookinfo):
    telemetry = bookinfo.telemetry()
    assert telemetry.control_plane() == {}
    assert telemetry.prometheus_name == ""
    with pytest.raises(MeshError, match="no Prometheus"):
        telemetry.prometheus("/api/v1/query?query=1")


def test_a_mesh_that_is_gone(tmp_path):
    with pytest.raises(MeshError, match="list of processes can't be read"):
        LocalTelemetry(tmp_path, str).usage()
