"""fortio driven for real: what it sends, what is read of it, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path
from threading import Event, Timer

import psutil
import pytest

from runner.errors import DriverError, InputError
from runner.load.base import Target, WindowPlan
from runner.load.fortio import FortioDriver
from runner.spec.load_profile import FortioLoad, Tls


@pytest.fixture
def driver(fortio, tmp_path):
    """A driver from the keys of `fortio:`."""

    def make(**keys):
        load = FortioLoad.model_validate({"binary": fortio, **keys})
        return FortioDriver(load, work_directory=tmp_path / "work")

    return make


@pytest.fixture
def at(server):
    """A window at the server of this test."""

    def make(*, seconds=1.0, url=None, **target):
        return WindowPlan(Target(url or server.url, **target), seconds, 1)

    return make


def statuses(window):
    return {
        name: {status: cell.requests for status, cell in by_status.items()}
        for name, by_status in window.whole().cells.items()
    }


def children():
    return [process.pid for process in psutil.Process().children(recursive=True) if "fortio" in process.name()]


def test_an_exact_number_of_requests_is_sent_and_every_one_is_accounted_for(driver, at, server, tmp_path):
    made = driver(path="/page?status=503&every=4", connections=3, qps=0, requests=40)
    window = made.drive(at(headers={"Host": "productpage:9080", "X-Token": "abc"}))
    seen = server.seen("/page")
    assert len(seen) == 40
    assert {(one["method"], one["headers"]["Host"], one["headers"]["X-Token"]) for one in seen} == {
        ("GET", "productpage:9080", "abc")
    }
    assert statuses(window) == {"/page?status=503&every=4": {"200": 30, "503": 10}}
    cells = window.whole().cells["/page?status=503&every=4"]
    assert (cells["200"].errors, cells["503"].errors) == (0, 10)
    assert not window.open_loop
    assert (window.scheduled, window.unmeasured) == (0, 0)
    assert (window.pace.requests, window.pace.qps) == (40, 0)
    assert window.ended == pytest.approx(window.started + window.length)
    assert list((tmp_path / "work").iterdir()) == []


def test_fortios_own_result_is_kept_whole_but_for_what_nobody_should_see(driver, at):
    window = driver(connections=2, qps=0, requests=20, payload="c2VjcmV0").drive(at())
    result = json.loads(window.native.content)
    assert window.native.generator == "fortio"
    assert result["RunType"] == "HTTP"
    assert result["RetCodes"] == {"200": 20}
    assert sum(bucket["Count"] for bucket in result["DurationHistogram"]["Data"]) == 20
    assert result["DurationHistogram"]["Percentiles"]
    assert not {"Payload", "UserCredentials"} & result.keys()
    merged = window.whole().cells["/"]["200"].response
    assert merged.greatest == pytest.approx(result["DurationHistogram"]["Max"] * 1e6, abs=1)
    assert merged.total == pytest.approx(result["DurationHistogram"]["Sum"] * 1e6, abs=20)


def test_a_duration_is_told_second_by_second_live_and_after(driver, at, server):
    told = []
    window = driver(path="/timed", connections=4, qps=40).drive(at(seconds=3), watch=told.append)
    assert [second.offset for second in window.seconds] == [0, 1, 2]
    assert statuses(window) == {"/timed": {"200": 120}}
    assert all(second.cells["/timed"]["200"].requests for second in window.seconds)
    assert window.unmeasured == 4  # what opens the connections
    assert len(server.seen("/timed")) == 124
    assert [second.offset for second in told] == list(range(len(told)))
    live = sum(second.cells["/timed"]["200"].requests for second in told if second.cells)
    assert 0 < live <= 120
    assert window.pace.requests == 120
    assert window.pace.seconds == 3


def test_headers_bodies_and_content_types_reach_the_server(driver, at, server, tmp_path):
    driver(path="/a", connections=1, qps=0, requests=2, payload="name=x", content_type="text/x-form").drive(at())
    file = tmp_path / "body.json"
    file.write_text('{"a": 1}')
    driver(path="/b", connections=1, qps=0, requests=2, payload_file=file).drive(at())
    driver(path="/c", connections=1, qps=0, requests=2, args=["-X", "DELETE"]).drive(at())
    (first, _), (second, _), (third, _) = (server.seen(path) for path in ("/a", "/b", "/c"))
    assert (first["method"], first["body"], first["headers"]["Content-Type"]) == ("POST", "name=x", "text/x-form")
    assert (second["method"], second["body"]) == ("POST", '{"a": 1}')
    assert third["method"] == "DELETE"


def test_a_path_goes_below_a_url_that_has_one(driver, at, server):
    driver(path="/page", connections=1, qps=0, requests=2).drive(at(url=f"{server.url}/shop/"))
    assert len(server.seen("/shop/page")) == 2


def test_a_secret_header_reaches_the_server_and_never_the_process_table(driver, at, server):
    shown, kept = [], []

    def look(_second):
        for pid in children():
            shown.append(b" ".join(Path(f"/proc/{pid}/{part}").read_bytes() for part in ("cmdline", "environ")))
            kept.append(pid)

    made = driver(path="/secret", connections=1, qps=20)
    made.drive(
        at(
            seconds=1.5,
            headers={"Authorization": "Bearer s3cret", "X-Plain": "plain"},
            secret_headers=frozenset({"authorization"}),
        ),
        watch=look,
    )
    assert {one["headers"]["Authorization"] for one in server.seen("/secret")} == {"Bearer s3cret"}
    assert kept
    assert all(b"X-Plain: plain" in text and b"s3cret" not in text for text in shown)
    with pytest.raises(InputError, match="fortio can keep only one header out of the list of processes"):
        made.drive(at(headers={"A": "1", "B": "2"}, secret_headers=frozenset("AB")))


def test_a_user_and_password_in_the_url_become_a_header(driver, at, server):
    url = server.url.replace("//", "//user:p%40ss@")
    window = driver(path="/auth", connections=1, qps=0, requests=2).drive(at(url=url))
    assert {one["headers"]["Authorization"] for one in server.seen("/auth")} == {"Basic dXNlcjpwQHNz"}
    assert b"p%40ss" not in window.native.content


def test_a_target_that_refuses_is_told_by_reason(driver, at):
    window = driver(connections=2, qps=0, requests=10).drive(at(url="http://127.0.0.1:1"))
    assert statuses(window) == {"/": {"0": 10}}
    assert window.whole().exceptions == {"connection refused": 10}
    assert window.whole().cells["/"]["0"].response.count == 0


def test_requests_that_take_too_long_had_no_response(driver, at):
    window = driver(path="/?ms=400", connections=2, qps=0, requests=4, timeout="100ms").drive(at())
    assert statuses(window) == {"/?ms=400": {"0": 4}}
    assert window.whole().exceptions == {"i/o timeout": 4}


def test_a_stop_lets_requests_end_and_keeps_what_was_measured(driver, at, server):
    stop = Event()
    made = driver(path="/long?ms=50", connections=2, qps=20)
    window = made.drive(at(seconds=60), watch=lambda _second: stop.set(), stop=stop)
    assert window.stopped
    assert window.drained
    assert window.length < 30
    sent = statuses(window)["/long?ms=50"]
    assert sent == {"200": len(server.seen("/long")) - 2}
    assert children() == []
    empty = made.drive(at(), stop=stop)
    assert (empty.stopped, empty.whole().cells, empty.length) == (True, {}, 0.0)


def test_a_stop_before_fortio_listens_for_one_is_not_lost(driver, at):
    stop, made = Event(), driver(path="/?ms=20", connections=1, qps=10)
    timer = Timer(0.001, stop.set)
    timer.start()
    window = made.drive(at(seconds=60), stop=stop)
    timer.join()
    assert window.stopped
    assert window.length < 30
    assert children() == []


def test_without_its_access_log_one_record_stands_for_the_window(driver, at):
    keys = {"path": "/?status=503&every=4&ms=3", "connections": 2, "qps": 100, "requests": 100}
    window = driver(**keys, access_log=False).drive(at())
    (only,) = window.seconds
    assert not window.series
    assert (
        statuses(window) == {keys["path"]: {"200": 75, "503": 25}}
        or sum(statuses(window)[keys["path"]].values()) == 100
    )
    result = json.loads(window.native.content)["DurationHistogram"]
    cells = only.cells[keys["path"]].values()
    assert sum(cell.response.count for cell in cells) == result["Count"] == 100
    assert sum(cell.response.total for cell in cells) == pytest.approx(result["Sum"] * 1e6, abs=2)
    assert max(cell.response.greatest for cell in cells) == pytest.approx(result["Max"] * 1e6, abs=1)


def test_a_stall_shows_in_the_rate_unless_fortio_catches_up_and_then_in_its_waits(driver, at, server):
    honest, hiding = (
        driver(path="/h", connections=2, qps=100),
        driver(path="/h", connections=2, qps=100, nocatchup=False),
    )
    server.ask("/__stall?in=0.7&seconds=1")
    window = honest.drive(at(seconds=3))
    assert window.pace.requests == 300
    assert 150 < sum(statuses(window)["/h"].values()) < 270
    assert window.pace.behind == 0.0
    server.ask("/__stall?in=0.7&seconds=1")
    window = hiding.drive(at(seconds=3))
    assert statuses(window) == {"/h": {"200": 300}}
    assert window.pace.behind > 0.1


def test_fewer_connections_than_asked_for_are_told(driver, at):
    window = driver(connections=8, qps=10).drive(at(seconds=1))
    assert window.remarks == ["fortio lowered its connections from 8 to 5"]


def test_grpc_pings_and_http2(driver, at, fortio_server):
    http, grpc = fortio_server
    pings = driver(grpc="ping", connections=2, qps=0, requests=10).drive(at(url=f"http://{grpc}"))
    assert statuses(pings) == {"ping": {"200": 10}}
    health = driver(grpc="health", connections=2, qps=0, requests=10).drive(at(url=f"http://{grpc}"))
    assert statuses(health) == {"health": {"200": 10}}
    nobody = driver(grpc="ping", connections=2, qps=0, requests=4).drive(at(url="http://127.0.0.1:1"))
    assert statuses(nobody) == {"ping": {"0": 4}}
    assert nobody.whole().exceptions == {"Unavailable": 4}
    second = driver(path="/debug", http2=True, connections=2, qps=0, requests=10).drive(at(url=f"http://{http}"))
    assert statuses(second) == {"/debug": {"200": 10}}
    assert json.loads(second.native.content)["H2"] is True


def test_https_asks_the_certificates_name_at_the_targets_address(driver, at, run_server, tmp_path):
    openssl = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    names = ("-subj", "/CN=test", "-addext", "subjectAltName=DNS:gateway.example.com", "-days", "2")
    try:
        subprocess.run(
            [*openssl, "-keyout", "key.pem", "-out", "cert.pem", *names], cwd=tmp_path, check=True, capture_output=True
        )
    except FileNotFoundError:
        pytest.skip("there is no openssl to make certificates with")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    url = f"https://127.0.0.1:{run_server('--certificate', str(cert), '--key', str(key))}"
    made = driver(connections=1, qps=0, requests=4)
    host = {"Host": "gateway.example.com"}
    assert statuses(made.drive(at(url=url, headers=host, tls=Tls(ca=cert)))) == {"/": {"200": 4}}
    assert statuses(made.drive(at(url=url, tls=Tls(verify=False)))) == {"/": {"200": 4}}
    assert statuses(made.drive(at(url=url, tls=Tls(ca=cert)))) == {"/": {"0": 4}}


def test_fortios_ui_lists_a_result(driver, at, fortio, tmp_path, serve_fortio):
    window = driver(connections=2, qps=0, requests=20).drive(at())
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "01-two.fortio.json").write_bytes(window.native.content)
    http, _ = serve_fortio("-data-dir", str(tmp_path / "data"))
    with urllib.request.urlopen(f"http://{http}/fortio/data/index.tsv") as response:
        assert "01-two.fortio.json" in response.read().decode()
    with urllib.request.urlopen(f"http://{http}/fortio/browse?url=01-two.fortio.json") as response:
        assert response.status == 200


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM])
def test_no_death_of_the_parent_leaves_a_fortio(fortio, server, tmp_path, death):
    script = f"""
        from pathlib import Path
        from runner.load.base import Target, WindowPlan
        from runner.load.fortio import FortioDriver
        from runner.spec.load_profile import FortioLoad

        load = FortioLoad.model_validate({{"binary": Path({str(fortio)!r}), "path": "/orphan", "qps": 50}})
        driver = FortioDriver(load, work_directory=Path({str(tmp_path)!r}))
        driver.drive(WindowPlan(Target("{server.url}"), 60.0, 1))
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)]) as parent:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not server.seen("/orphan"):
            time.sleep(0.02)
        family = psutil.Process(parent.pid).children(recursive=True)
        assert any("fortio" in process.name() for process in family)
        parent.send_signal(death)
    assert psutil.wait_procs(family, timeout=10)[1] == []


def test_a_fortio_that_dies_midway_is_told(driver, at):
    def kill(_second):
        for pid in children():
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(DriverError, match=r"fortio ended without a result \(killed by SIGKILL\)") as caught:
        driver(qps=20).drive(at(seconds=30), watch=kill)
    assert caught.value.exit_code == 3
    assert children() == []


def test_a_name_that_nobody_knows_is_told_in_fortios_words(driver, at):
    with pytest.raises(DriverError, match=r"ended without a result \(exit code 1\)(.|\n)*nowhere\.invalid"):
        driver(qps=20).drive(at(url="http://nowhere.invalid"))


@pytest.fixture
def elsewhere(fortio, tmp_path, monkeypatch):
    """A driver whose fortio runs behind a command line, as in a pod: `env` stands for the way there."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "fortio").symlink_to(fortio)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    def make(**keys):
        return FortioDriver(FortioLoad.model_validate(keys), work_directory=tmp_path / "work", elsewhere=True)

    return make


def test_a_fortio_that_runs_elsewhere_tells_as_much_as_one_that_runs_here(elsewhere, at, server):
    made = elsewhere(path="/page?status=503&every=4", connections=3, qps=0, requests=800)
    assert made.version == ""
    made.settle(("env",))
    assert made.version.count(".") == 2
    seen = []
    window = made.drive(at(command=("env",)), seen.append)
    assert window.series
    assert window.generator_cpu > 0
    assert statuses(window) == {"/page?status=503&every=4": {"200": 600, "503": 200}}
    assert len(server.seen("/page")) >= 800
    assert not children()


def test_a_fortio_that_runs_elsewhere_can_be_stopped(elsewhere, at):
    made = elsewhere(path="/page", connections=2, qps=50)
    made.settle(("env",))
    stop = Event()
    window = made.drive(at(seconds=60.0, command=("env",)), lambda _: stop.set(), stop)
    assert window.stopped
    assert window.whole().cells
    assert not children()


def test_what_needs_files_of_this_machine_is_refused_elsewhere(elsewhere, tmp_path):
    with pytest.raises(InputError, match=r"fortio\.payload_file: fortio runs in a pod"):
        elsewhere(payload_file=tmp_path / "body")


def test_a_pod_without_fortio_is_told(elsewhere, monkeypatch):
    made = elsewhere()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DriverError, match="does not tell its version"):
        made.settle(("/usr/bin/env", "PATH=/nowhere"))
