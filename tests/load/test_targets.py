from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import urllib.request
from pathlib import Path

import pytest

from runner.errors import InputError
from runner.spec.load_profile import Tls

BOTH_CLIENTS = pytest.mark.parametrize("client", ["HttpUser", "FastHttpUser"])


def loadfile(client: str, extra: str = "") -> str:
    return f"""
        from locust import {client}, task

        class Visitor({client}):
            {extra}

            @task
            def get(self):
                self.client.get("/page")
    """


@BOTH_CLIENTS
def test_headers_and_host_reach_every_request_and_a_loadfiles_own_win(drive, plan_for, server, client):
    text = f"""
        from locust import {client}, task

        class Visitor({client}):
            @task
            def get(self):
                self.client.get("/plain")
                self.client.get("/own", headers={{"x-token": "mine"}})
    """
    driver = drive(text)
    driver.start()
    url = server.url + "/"
    driver.drive(
        plan_for(rate="10/s", seconds=0.5, url=url, headers={"Host": "bookinfo.com:9080", "X-Token": "s3cret"})
    )
    plain, own = server.seen("/plain"), server.seen("/own")
    assert len(plain) == len(own) == 5
    assert {one["headers"]["Host"] for one in plain + own} == {"bookinfo.com:9080"}
    assert {one["headers"]["X-Token"] for one in plain} == {"s3cret"}
    tokens = [value for one in own for name, value in one["headers"].items() if name.lower() == "x-token"]
    assert set(tokens) == {"mine"}


def test_headers_never_show_in_the_process_table(drive, plan_for, tmp_path):
    driver = drive(loadfile("FastHttpUser"))
    driver.start()
    driver.drive(plan_for(rate="10/s", seconds=0.2, headers={"Authorization": "Bearer s3cret"}))
    process = driver._process._process.pid
    assert b"s3cret" not in Path(f"/proc/{process}/cmdline").read_bytes()
    assert b"s3cret" not in Path(f"/proc/{process}/environ").read_bytes()
    assert "s3cret" not in (tmp_path / "work" / "locust.log").read_text()


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run([str(shutil.which("openssl")), *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A CA, a server certificate for gateway.example.com alone, and a client certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("tls")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(folder, "req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test CA")
    (folder / "names").write_text("subjectAltName=DNS:gateway.example.com\n")
    for name in ("server", "client"):
        openssl(folder, "req", "-new", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")
    return folder


@pytest.fixture(scope="module")
def secure_server(certificates, run_server):
    arguments = ("--certificate", "server.pem", "--key", "server.key", "--client-ca", "ca.pem")
    files = [str(certificates / one) if one.endswith((".pem", ".key")) else one for one in arguments]
    return f"https://127.0.0.1:{run_server(*files)}"


def seen(url: str, certificates: Path) -> list[dict]:
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    context.check_hostname = False
    context.load_cert_chain(certificates / "client.pem", certificates / "client.key")
    with urllib.request.urlopen(url + "/__seen", context=context, timeout=10) as response:  # noqa: S310 - our server
        return json.load(response)


@BOTH_CLIENTS
def test_https_with_a_ca_a_client_certificate_and_the_hosts_name(drive, plan_for, secure_server, certificates, client):
    driver = drive(loadfile(client))
    driver.start()
    tls = Tls(ca=certificates / "ca.pem", certificate=certificates / "client.pem", key=certificates / "client.key")
    before = len(seen(secure_server, certificates))
    host = {"Host": "gateway.example.com"}
    window = driver.drive(plan_for(rate="20/s", seconds=0.5, url=secure_server, tls=tls, headers=host))
    assert {name: list(by_status) for name, by_status in window.whole().cells.items()} == {"/page": ["200"]}
    arrived = seen(secure_server, certificates)[before:]
    assert len(arrived) == 10
    assert all(one["certificate"] and one["headers"]["Host"] == "gateway.example.com" for one in arrived)

    # The certificate is for that name alone, so without it nothing is answered.
    wrong = driver.drive(plan_for(rate="10/s", seconds=0.5, url=secure_server, tls=tls))
    assert list(wrong.whole().cells["/page"]) == ["0"]

    unverified = driver.drive(
        plan_for(rate="10/s", seconds=0.5, url=secure_server, tls=tls.model_copy(update={"verify": False, "ca": None}))
    )
    assert list(unverified.whole().cells["/page"]) == ["200"]

    stranger = driver.drive(
        plan_for(rate="10/s", seconds=0.5, url=secure_server, tls=Tls(ca=certificates / "ca.pem"), headers=host)
    )
    assert list(stranger.whole().cells["/page"]) == ["0"]


def test_tls_files_that_are_missing_or_no_pem_are_named(drive, plan_for, tmp_path):
    driver = drive(loadfile("FastHttpUser"))
    driver.start()
    with pytest.raises(InputError, match=r"the file of tls\.ca does not exist: .*/nowhere\.pem"):
        driver.drive(plan_for(tls=Tls(ca=tmp_path / "nowhere.pem")))
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with pytest.raises(InputError, match="the TLS files can't be used"):
        driver.drive(plan_for(tls=Tls(ca=broken)))
    assert driver.drive(plan_for(rate="10/s", seconds=0.2)).whole().due == 2


def test_arguments_and_environment_reach_the_loadfile_and_ours_stay_out(drive, plan_for, server, monkeypatch):
    monkeypatch.setenv("SHOP", "books")
    monkeypatch.setenv("LOCUST_USERS", "77")
    monkeypatch.setenv("LOCUST_RUN_TIME", "1s")
    text = """
        import os
        from locust import FastHttpUser, events, task

        @events.init_command_line_parser.add_listener
        def _(parser):
            parser.add_argument("--colour", default="none")

        class Visitor(FastHttpUser):
            @task
            def get(self):
                colour = self.environment.parsed_options.colour
                leaked = sorted(key for key in os.environ if key.startswith("MESHTRIAL_"))
                self.client.get(f"/{colour}/{os.environ['SHOP']}/{len(leaked)}")
    """
    driver = drive(text, args=["--colour", "red"])
    driver.start()
    driver.drive(plan_for(rate="20/s", seconds=1.2))
    assert {one["path"] for one in server.seen()} == {"/red/books/0"}
    assert len(server.seen()) == 24


def test_modules_beside_the_loadfile_are_found_at_import_and_later(drive, plan_for, server, tmp_path):
    driver = drive("""
        import helper_beside
        from locust import FastHttpUser, task

        class Visitor(FastHttpUser):
            @task
            def get(self):
                import later_beside

                self.client.get(helper_beside.PATH + later_beside.NAME)
    """)
    (tmp_path / "files" / "helper_beside.py").write_text('PATH = "/shelf/"\n')
    (tmp_path / "files" / "later_beside.py").write_text('NAME = "book"\n')
    driver.start()
    window = driver.drive(plan_for(rate="10/s", seconds=0.5))
    assert window.user_errors == {}
    assert {one["path"] for one in server.seen()} == {"/shelf/book"}


def test_listeners_of_locusts_test_events_run_once_per_target(drive, plan_for, server):
    driver = drive("""
        import urllib.request
        from locust import FastHttpUser, events, task

        def tell(environment, what):
            urllib.request.urlopen(f"{environment.host}/{what}").close()

        @events.test_start.add_listener
        def start(environment, **_):
            tell(environment, "test-start")

        @events.test_stop.add_listener
        def stop(environment, **_):
            tell(environment, "test-stop")

        class Visitor(FastHttpUser):
            def on_stop(self):
                self.client.get("/on-stop")

            @task
            def get(self):
                self.client.get("/page")
    """)
    driver.start()
    for _ in range(2):
        driver.drive(plan_for(rate="10/s", seconds=0.2))
    assert (len(server.seen("/test-start")), len(server.seen("/test-stop"))) == (1, 0)
    driver.drive(plan_for(rate="10/s", seconds=0.2, headers={"X-Variant": "b"}))
    assert (len(server.seen("/test-start")), len(server.seen("/test-stop"))) == (2, 1)
    driver.close()
    assert len(server.seen("/test-stop")) == 2
    assert len(server.seen("/on-stop")) >= 4
    assert os.environ.get("MESHTRIAL_DRIVER_FDS") is None
