"""PromQL evidence from a real Prometheus that reads a real endpoint: exact counts, and a reason wherever it does not know."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from runner.errors import MeshError, StoppedError
from runner.mesh.telemetry import PrometheusUrl
from runner.probes.prometheus import Edge, PromqlReader

SCRAPE = 0.5
SHARE = 'sum(increase(web_requests_total{response_code=~"5.."}[$window])) / sum(increase(web_requests_total[$window])) or vector(0)'


class Web:
    """Counters and a gauge that Prometheus reads; what it counts appears with its first request, as Envoy's does."""

    def __init__(self, address: str) -> None:
        self.counts: Counter[str] = Counter({"200": 7, "404": 1})
        self.gauge = 3.0
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                lines = [
                    f'web_requests_total{{job_of="web",response_code="{code}"}} {n}' for code, n in web.counts.items()
                ]
                body = "\n".join([*lines, f"web_active {web.gauge}", ""]).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer((address, 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def web():
    found = Web("127.93.9.1")
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture(scope="module")
def url(web, tmp_path_factory):
    """A Prometheus that reads `web` twice a second."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("there is no prometheus on PATH")
    folder = tmp_path_factory.mktemp("prometheus")
    with closing(socket.socket()) as free:
        free.bind(("127.93.9.2", 0))
        port = free.getsockname()[1]
    target = f"127.93.9.1:{web.server.server_port}"
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: {SCRAPE * 1000:.0f}ms, scrape_timeout: 400ms}}\n"
        f"scrape_configs: [{{job_name: web, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.93.9.2:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    address = f"http://127.93.9.2:{port}"
    try:
        _until(lambda: _ready(address) and _ask(address, "web_active"))
        yield address
    finally:
        process.terminate()
        process.wait(10)


def _until(condition, limit=20.0):
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "Prometheus did not come up"
        time.sleep(0.05)


def _ready(address):
    try:
        with urllib.request.urlopen(f"{address}/-/ready", timeout=2) as answer:  # noqa: S310 - http, as `url` says
            return answer.status == 200
    except OSError:
        return False


def _ask(address, text):
    with urllib.request.urlopen(f"{address}/api/v1/query?query={text}", timeout=2) as answer:  # noqa: S310 - http, as `url` says
        return json.load(answer)["data"]["result"]


def _measured(url, entries, during, seconds=0.0, limit=10.0):
    """What a reader gives for a window in which `during` happens."""
    reader = PromqlReader(entries, PrometheusUrl(url).get, lambda: url, limit)
    before = reader.edge()
    started = time.time()
    during()
    if seconds:
        time.sleep(seconds)
    return reader.read(before, started, time.time())


def test_counts_are_exact(web, url):
    entries = {
        "all": "sum(increase(web_requests_total[$window]))",
        "per_second": "sum(rate(web_requests_total[$window]))",
        "share": SHARE,
        "fives": 'sum(increase(web_requests_total{response_code=~"5.."}[$window]))',
        "of_all": "sum(increase(web_requests_total[$window])) / sum(increase(web_requests_total[$window]))",
    }
    found = _measured(url, entries, lambda: web.counts.update({"200": 97, "503": 3}), 0.2)
    assert found.values["all"] == 100
    assert found.values["fives"] == 3  # their series began within the window: a range would have lost them
    assert found.values["share"] == pytest.approx(0.03)
    assert found.values["of_all"] == 1
    assert found.values["per_second"] is not None
    assert found.values["per_second"] > 100
    assert found.absent == {}


def test_nothing_is_zero_only_where_the_query_says_so(url):
    entries = {
        "plain": 'sum(increase(web_requests_total{response_code="599"}[$window]))',
        "or_zero": 'sum(increase(web_requests_total{response_code="599"}[$window])) or vector(0)',
        "unknown": "sum(increase(no_such_total[$window])) or vector(0)",
        "no_gauge": "sum(no_such_gauge) or vector(0)",
    }
    found = _measured(url, entries, lambda: None, limit=1.0)
    assert found.values == {"plain": None, "or_zero": 0.0, "unknown": None, "no_gauge": None}
    assert "or vector(0)" in found.absent["plain"]
    assert found.absent["unknown"].endswith("has no series of no_such_total")
    assert found.absent["no_gauge"].endswith("has no series of no_such_gauge")


def test_a_gauge_is_read_within_the_window(web, url):
    entries = {
        "now": "web_active",
        "highest": "max_over_time(web_active[$window])",
        "long": "avg_over_time(web_active[1h])",
    }
    web.gauge = 11.0
    found = _measured(url, entries, lambda: None, 2.5)
    assert (found.values["now"], found.values["highest"]) == (11.0, 11.0)
    assert found.values["long"] is None
    assert "[1h] is longer than the window" in found.absent["long"]


def test_a_window_of_less_than_two_readings_says_nothing(url):
    entries = {"highest": "max_over_time(web_active[$window])", "now": "web_active"}
    reader = PromqlReader(entries, PrometheusUrl(url).get)
    edge = reader.edge()
    sample = float(_ask(url, "timestamp(web_active)")[0]["value"][1])
    between = reader.read(Edge(edge.at), sample + 0.1, sample + 0.3)  # after one reading and before the next
    assert between.values == {"highest": None, "now": None}
    assert "longer than two of its scrape intervals" in between.absent["highest"]
    assert "before the window" in between.absent["now"]
    one = reader.read(Edge(edge.at), sample - 0.1, sample + 0.1)
    assert "once within the window" in one.absent["highest"]
    assert one.values["now"] is not None


def test_counters_that_begin_anew_are_not_subtracted(web, url):
    found = _measured(
        url, {"all": "sum(increase(web_requests_total[$window]))"}, lambda: web.counts.update({"200": -50})
    )
    assert found.values == {"all": None}
    assert "began anew" in found.absent["all"]
    gone = web.counts.pop("503")
    found = _measured(url, {"all": "sum(increase(web_requests_total[$window]))"}, lambda: web.counts.pop("200"))
    assert "ended within the window" in found.absent["all"]
    web.counts.update({"200": 1000, "503": gone})


def test_what_no_check_can_use_is_told(url):
    entries = {"many": "web_requests_total", "nan": "web_active * 0 / 0", "matrix": "web_active[1s]", "text": '"a"'}
    found = _measured(url, entries, lambda: None, 1.2)
    assert all(value is None for value in found.values.values())
    assert "series, and a check needs one number" in found.absent["many"]
    assert "nan" in found.absent["nan"]
    assert "matrix" in found.absent["matrix"]


def test_a_query_that_can_not_be_parsed(url):
    entries = {"good": "sum(increase(a[$window]))", "bad": "sum(increase(a[$window])", "typed": "rate(a)"}
    wrong = PromqlReader(entries, PrometheusUrl(url).get).wrong()
    assert wrong.keys() == {"bad", "typed"}
    assert "parse error" in wrong["bad"]


def test_a_prometheus_that_is_slow_to_read_is_not_waited_for_long(url):
    stopped = PromqlReader({"q": "increase(web_requests_total[$window])"}, PrometheusUrl(url).get, lambda: url, -1.0)
    edge = stopped.edge()
    assert edge.at is None
    assert "scrape_interval" in edge.why
    assert stopped.read(edge, 1.0, 2.0).absent == {"q": edge.why}


def test_a_signal_ends_the_wait(url):
    def check() -> None:
        raise StoppedError(2)

    reader = PromqlReader({"q": "increase(web_requests_total[$window])"}, PrometheusUrl(url).get)
    with pytest.raises(StoppedError):
        reader.edge(check)


def test_no_prometheus_is_a_reason_and_no_error():
    with closing(socket.socket()) as free:
        free.bind(("127.93.9.3", 0))
        address = f"http://user:secret@127.93.9.3:{free.getsockname()[1]}"
    found = _measured(address, {"q": "sum(increase(a[$window]))"}, lambda: None)
    assert found.values == {"q": None}
    assert "does not answer" in found.absent["q"]
    assert "secret" not in found.absent["q"]
    assert PromqlReader({"q": "sum("}, PrometheusUrl(address).get).wrong() == {}
    with pytest.raises(MeshError, match="no http URL"):
        PrometheusUrl("ftp://x").get("/")


def test_what_is_no_prometheus_is_told(web):
    address = f"http://127.93.9.1:{web.server.server_port}"
    found = _measured(address, {"q": "sum(increase(a[$window]))"}, lambda: None)
    assert "answers web_requests_total" in found.absent["q"]


def test_without_entries_nothing_is_asked():
    def ask(_path: str) -> str:
        raise AssertionError

    reader = PromqlReader({}, ask)
    assert reader.read(reader.edge(), 1.0, 2.0).values == {}
    assert not reader.waits
