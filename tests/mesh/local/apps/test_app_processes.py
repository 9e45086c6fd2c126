"""Real processes, as the mesh starts them: together behind a proxy, told their settings, ended, refused a port."""

from __future__ import annotations

import asyncio
import socket
import urllib.error
import urllib.request

import pytest

from runner.errors import InputError
from runner.mesh.local.apps.process import Settings

SERVICES = {
    "productpage": "bookinfo.productpage",
    "details": "bookinfo.details",
    "reviews": "bookinfo.reviews",
    "ratings": "bookinfo.ratings",
}


def test_settings_come_from_the_environment():
    given = {
        "BIND_ADDRESS": "127.9.8.7",
        "PORT": "9081",
        "HTTP_PROXY": "http://127.9.8.6:15002",
        "SERVICE_VERSION": "v2",
        "POD_NAME": "reviews-v2-0",
        "CLUSTER_NAME": "c1",
    }
    expected = Settings("127.9.8.7", 9081, "http://127.9.8.6:15002", "v2", "reviews-v2-0", "c1")
    assert Settings.from_environment(given) == expected
    assert Settings.from_environment({}, port=8080) == Settings(port=8080)
    assert Settings.from_environment({"http_proxy": "http://127.1.1.1:1"}).proxy == "http://127.1.1.1:1"
    assert Settings.from_environment({"HTTP_PROXY": "", "HOSTNAME": "pod"}) == Settings(pod_name="pod")


@pytest.mark.parametrize("port", ["x", "0", "65536", "-1", "1.5"])
def test_a_wrong_port_is_told(port):
    with pytest.raises(InputError, match="expected a number from 1 to 65535"):
        Settings.from_environment({"PORT": port})


@pytest.mark.parametrize(("version", "color"), [("v1", None), ("v2", "black"), ("v3", "red")])
def test_the_four_services_make_one_page(around, start_app, version, color):
    async def run():
        async with around.sidecar_with() as sidecar:
            loop = asyncio.get_running_loop()
            started = {}
            for service, module in SERVICES.items():
                settings = {"HTTP_PROXY": sidecar.url, "SERVICE_VERSION": "v1", "POD_NAME": f"{service}-v1"}
                if service == "reviews":
                    settings |= {"SERVICE_VERSION": version, "POD_NAME": f"reviews-{version}"}
                started[service] = await loop.run_in_executor(None, lambda m=module, s=settings: start_app(m, **s))
                sidecar.answers[service] = around.leads_to(started[service].address)

            def visit():
                with urllib.request.urlopen(f"http://{started['productpage'].address}/productpage") as answer:
                    return answer.status, answer.read().decode()

            status, text = await loop.run_in_executor(None, visit)
            return status, text, [call.target for call in sidecar.calls], list(started.values())

    status, text, targets, processes = asyncio.run(run())
    assert status == 200
    assert "Error fetching" not in text
    assert f"reviews-{version}" in text
    assert text.count('glyphicon-star"') == (9 if color else 0)
    assert (f'color="{color}"' in text) == bool(color)
    expected = ["http://details:9080/details/0", "http://reviews:9080/reviews/0", "http://ratings:9080/ratings/0"]
    assert targets == expected[: 3 if color else 2]
    assert [process.end() for process in processes] == [0, 0, 0, 0]


def test_httpbin_is_a_process_too(start_app):
    process = start_app("httpbin.service", port=8080, ready="/status/200", POD_NAME="httpbin-v1")
    with urllib.request.urlopen(f"http://{process.address}/hostname") as answer:
        assert answer.read() == b'{"hostname":"httpbin-v1"}'
    assert process.end() == 0


def test_it_ends_at_once_though_a_request_is_under_way(around, start_app):
    process = start_app("httpbin.service", port=8080, ready="/status/200")
    host, _, port = process.address.partition(":")
    with socket.create_connection((host, int(port))) as waiting:
        waiting.sendall(b"GET /delay/10 HTTP/1.1\r\nHost: x\r\n\r\n")
        with urllib.request.urlopen(f"http://{process.address}/get"):
            pass
        assert process.end() == 0
        waiting.settimeout(30)
        assert waiting.recv(100) == b""


def test_a_visitor_who_disconnects_ends_the_outgoing_call(around, start_app):
    async def run():
        async with around.sidecar_with(details=around.never()) as sidecar:
            loop = asyncio.get_running_loop()
            process = await loop.run_in_executor(
                None, lambda: start_app("bookinfo.productpage", HTTP_PROXY=sidecar.url)
            )
            host, _, port = process.address.partition(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /api/v1/products/0 HTTP/1.1\r\nHost: productpage:9080\r\n\r\n")
            await asyncio.wait_for(sidecar.arrived.get(), 30)
            writer.close()
            ended = await asyncio.wait_for(sidecar.ended.get(), 30)
            # The counter tells that the call was dropped, not answered: a patience that ran out counts as a 500.
            with await loop.run_in_executor(
                None, urllib.request.urlopen, f"http://{process.address}/metrics"
            ) as answer:
                return ended, answer.read().decode()

    ended, metrics = asyncio.run(run())
    assert ended == "details:9080"
    assert "destination_app" not in metrics


def test_a_taken_port_is_one_sentence_and_exit_code_3(around, start_app):
    address = around.free_address(9080)
    with socket.create_server((address, 9080)):
        process = start_app("bookinfo.details", ready=None, BIND_ADDRESS=address)
        assert process.running.wait(60) == 3
        told = process.running.stderr.read()
    assert f"error: cannot listen on {address}:9080: " in told
    assert "in use" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"PORT": "ninety"}, 'PORT is "ninety"'), ({"SERVICE_VERSION": "v7"}, 'reviews has no version "v7"')],
)
def test_wrong_settings_are_one_sentence_and_exit_code_2(start_app, settings, told):
    process = start_app("bookinfo.reviews", ready=None, **settings)
    assert process.running.wait(60) == 2
    said = process.running.stderr.read()
    assert said.startswith(f"error: {told}; expected ")
    assert "Traceback" not in said
