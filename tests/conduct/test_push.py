"""Run folders into an object store: a real client against a folder, and against a server that speaks S3's protocol."""

import hashlib
import os
import shutil
import socket
import subprocess
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import pytest

from runner.conduct.push import Pushed, push
from runner.errors import InputError, StorageError

pytest.importorskip("obstore", reason="the extra push is not installed")
from obstore import get
from obstore.store import from_url


@pytest.fixture
def results(tmp_path):
    """A results folder with two runs."""
    root = tmp_path / "results"
    for run in ("20261124T060000Z-a1", "20261125T060000Z-b2"):
        folder = root / "timeout" / run
        (folder / "trials").mkdir(parents=True)
        (folder / "run.json").write_text('{"version": 1}')
        (folder / "report.html").write_text("<html>")
        (folder / "trials" / "1.json.gz").write_bytes(b"\x1f\x8b" + run.encode())
    return root


def test_a_results_folder_is_mirrored_and_the_run_document_goes_last(results, tmp_path):
    done = push(results, f"file://{tmp_path}/store/prefix")
    assert len(done.sent) == 6
    assert [key.endswith("run.json") for key in done.sent] == [False] * 4 + [True] * 2
    copy = tmp_path / "store" / "prefix" / "timeout"
    for path in results.rglob("*"):
        if path.is_file():
            assert (copy / path.relative_to(results / "timeout")).read_bytes() == path.read_bytes()


def test_a_second_push_sends_only_what_is_new_or_changed(results, tmp_path):
    url = f"file://{tmp_path}/store"
    push(results, url)
    assert push(results, url).sent == ()
    page = results / "timeout" / "20261124T060000Z-a1" / "report.html"
    page.write_text("<HTML>")
    later = page.stat().st_mtime + 60
    os.utime(page, (later, later))
    done = push(results, url)
    assert done.sent == ("timeout/20261124T060000Z-a1/report.html",)
    assert done.there == 5


def test_one_run_keeps_its_experiments_name(results, tmp_path):
    done = push(results / "timeout" / "20261125T060000Z-b2", f"file://{tmp_path}/store")
    assert set(done.sent) == {
        f"timeout/20261125T060000Z-b2/{name}" for name in ("run.json", "report.html", "trials/1.json.gz")
    }


@pytest.mark.parametrize("url", ["ftp://host/x", "bucket", "s3:bucket", "s3://"])
def test_a_url_that_is_no_store(results, url):
    with pytest.raises(InputError):
        push(results, url)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        push(tmp_path / "none", "s3://bucket")


class FakeS3(BaseHTTPRequestHandler):
    """As much of S3's REST protocol as a client needs to list and to put; every request must be signed."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes] = {}  # noqa: RUF012 - set anew by the fixture
    refuse = False

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.allowed():
            return
        self.objects[urlsplit(self.path).path] = body
        self.answer(200, b"", {"ETag": f'"{hashlib.sha256(body).hexdigest()}"'})

    def do_GET(self):
        if not self.allowed():
            return
        prefix = parse_qs(urlsplit(self.path).query).get("prefix", [""])[0]
        items = "".join(
            f"<Contents><Key>{escape(key.removeprefix('/bucket/'))}</Key><Size>{len(body)}</Size>"
            "<ETag>x</ETag><LastModified>2099-01-01T00:00:00.000Z</LastModified></Contents>"
            for key, body in self.objects.items()
            if key.removeprefix("/bucket/").startswith(prefix)
        )
        self.answer(200, f"<ListBucketResult>{items}<IsTruncated>false</IsTruncated></ListBucketResult>".encode(), {})

    def allowed(self):
        signed = self.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 Credential=key-id/")
        if signed and not self.refuse:
            return True
        self.answer(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>", {})
        return False

    def answer(self, code, body, headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing."""


@pytest.fixture
def s3(monkeypatch):
    handler = type("Handler", (FakeS3,), {"objects": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    for name, value in {
        "AWS_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "key-id",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_s3_by_its_own_protocol_with_credentials_from_the_environment(results, s3):
    done = push(results, "s3://bucket/mesh/trials")
    assert len(done.sent) == 6
    key = "/bucket/mesh/trials/timeout/20261124T060000Z-a1/trials/1.json.gz"
    assert s3.objects[key] == (results / "timeout/20261124T060000Z-a1/trials/1.json.gz").read_bytes()
    assert push(results, "s3://bucket/mesh/trials").sent == ()


def test_a_store_that_refuses_is_one_sentence(results, s3):
    s3.refuse = True
    with pytest.raises(StorageError, match="s3://bucket can't be written") as caught:
        push(results, "s3://bucket")
    assert "\n" not in str(caught.value)
    assert "credentials" in str(caught.value)


@pytest.fixture
def moto(monkeypatch):
    """Another's implementation of S3 on loopback, with an empty bucket, of which this is a client."""
    program = shutil.which("moto_server")
    if program is None:
        pytest.skip("there is no moto_server here, which stands for S3")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], **quiet) as server:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    connection = HTTPConnection("127.0.0.1", port, timeout=30)
                    connection.request("PUT", "/bucket")
                    assert connection.getresponse().status == 200
                    connection.close()
                    break
                except OSError:
                    assert server.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            for name, value in {
                "AWS_ENDPOINT": f"http://127.0.0.1:{port}",
                "AWS_ALLOW_HTTP": "true",
                "AWS_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "key-id",
                "AWS_SECRET_ACCESS_KEY": "secret",
            }.items():
                monkeypatch.setenv(name, value)
            yield from_url("s3://bucket")
        finally:
            server.terminate()


def test_another_implementation_of_s3_keeps_what_is_pushed(results, moto):
    done = push(results, "s3://bucket/mesh")
    assert done.sent
    for key in done.sent:
        assert bytes(get(moto, f"mesh/{key}").bytes()) == (results / key).read_bytes()
    assert push(results, "s3://bucket/mesh") == Pushed((), len(done.sent))
    with pytest.raises(StorageError, match="s3://no-such-bucket/x can't be written"):
        push(results, "s3://no-such-bucket/x")
