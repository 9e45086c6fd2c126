"""The httpbin-like service: echoes, statuses, delays, bytes, and refusal of what makes no sense."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from aiohttp import FormData

from runner.mesh.local.apps.httpbin import service
from runner.mesh.local.apps.process import Settings


def ask(around, work):
    async def run():
        async with around.app_at(service.make_app, Settings(pod_name="httpbin-v2")) as browser:
            return await work(browser)

    return asyncio.run(asyncio.wait_for(run(), 60))


def test_get_echoes_the_request(around):
    async def work(browser):
        reply = await browser.get_json(
            "/get?a=1&a=2&b=c", headers={"x-some-header": "v", "X-Forwarded-For": "10.0.0.9"}
        )
        return reply, browser.base

    (status, data), base = ask(around, work)
    assert status == 200
    assert data["args"] == {"a": ["1", "2"], "b": "c"}
    assert data["headers"]["X-Some-Header"] == "v"
    assert data["origin"] == "10.0.0.9"
    assert data["url"] == f"{base}/get?a=1&a=2&b=c"


def test_small_echoes(around):
    async def work(browser):
        paths = ("/headers", "/ip", "/user-agent", "/hostname", "/uuid")
        return [await browser.get_json(path, headers={"User-Agent": "t/1"}) for path in paths]

    headers, ip, agent, hostname, uuid = [data for _, data in ask(around, work)]
    assert headers["headers"]["User-Agent"] == "t/1"
    assert ip == {"origin": "127.0.0.1"}
    assert agent == {"user-agent": "t/1"}
    assert hostname == {"hostname": "httpbin-v2"}
    assert len(uuid["uuid"]) == 36


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_bodies_are_echoed_under_their_methods(around, method):
    async def work(browser):
        path = f"/{method.lower()}"
        replies = [
            await browser.ask(path, method, json={"a": 1}),
            await browser.ask(path, method, data={"x": "y"}),
            await browser.ask(path, method, data=b"{broken"),
        ]
        wrong = await browser.ask(path, "GET")
        return [service.json.loads(reply.text) for reply in replies], wrong.status

    (as_json, as_form, as_text), wrong = ask(around, work)
    assert (as_json["json"], as_json["form"]) == ({"a": 1}, {})
    assert (as_form["json"], as_form["form"], as_form["data"]) == (None, {"x": "y"}, "")
    assert (as_text["json"], as_text["data"]) == (None, "{broken")
    assert wrong == 405


def test_files_are_echoed(around):
    async def work(browser):
        form = service_form()
        return service.json.loads((await browser.ask("/post", "POST", data=form)).text)

    data = ask(around, work)
    assert (data["files"], data["form"]) == ({"f": "content"}, {"k": "v"})


def service_form():
    form = FormData()
    form.add_field("f", b"content", filename="f.txt")
    form.add_field("k", "v")
    return form


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_anything_takes_any_method_and_path(around, method):
    async def work(browser):
        return service.json.loads((await browser.ask("/anything/a/b?c=d", method)).text)

    data = ask(around, work)
    assert (data["method"], data["args"]) == (method, {"c": "d"})
    assert data["url"].endswith("/anything/a/b?c=d")


@pytest.mark.parametrize("code", [200, 204, 304, 404, 418, 500, 503, 599])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_statuses(around, code, method):
    async def work(browser):
        return await browser.ask(f"/status/{code}", method)

    assert ask(around, work).status == code


def test_statuses_with_headers(around):
    async def work(browser):
        return await browser.ask("/status/301"), await browser.ask("/status/401")

    moved, unauthorized = ask(around, work)
    assert moved.headers["Location"] == "/redirect/1"
    assert unauthorized.headers["WWW-Authenticate"].startswith("Basic")


def test_several_statuses_are_drawn_by_weight():
    drawn = Counter(service.choose_status("200:9,503:1") for _ in range(4000))
    assert set(drawn) == {200, 503}
    assert 0.05 < drawn[503] / 4000 < 0.15
    assert {service.choose_status("200:0,503") for _ in range(50)} == {503}


@pytest.mark.parametrize(
    "path",
    [
        "/status/abc",
        "/status/99",
        "/status/100",
        "/status/600",
        "/status/200,",
        "/status/200:x",
        "/status/200:-1",
        "/status/200:nan",
        "/status/200:0",
        "/delay/x",
        "/delay/-1",
        "/delay/nan",
        "/bytes/x",
        "/bytes/-1",
        "/bytes/5?seed=x",
        "/redirect/0",
        "/redirect/101",
        "/redirect/x",
    ],
)
def test_bad_input_is_a_400(around, path):
    async def work(browser):
        return await browser.ask(path)

    assert ask(around, work).status == 400


def test_a_delay_echoes_and_is_cut(around, monkeypatch):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    async def work(browser):
        with monkeypatch.context() as patch:
            patch.setattr(service, "asyncio", type("Clock", (), {"sleep": staticmethod(sleep)}))
            return [await browser.get_json(f"/delay/{seconds}?a=b") for seconds in ("0.25", "600", "inf")]

    replies = ask(around, work)
    assert slept == [0.25, 10.0, 10.0]
    assert all(data["args"] == {"a": "b"} for _, data in replies)


def test_bytes_are_counted_seeded_and_cut(around):
    async def work(browser):
        bodies = []
        for path in ("/bytes/16?seed=4", "/bytes/16?seed=4", "/bytes/16?seed=5", "/bytes/0", "/bytes/999999999"):
            async with browser.session.get(browser.base + path) as answer:
                bodies.append(await answer.read())
        return bodies

    first, again, other, none, most = ask(around, work)
    assert len(first) == 16
    assert first == again != other
    assert none == b""
    assert len(most) == 100 * 1024


def test_redirects_lead_to_get(around):
    async def work(browser):
        async with browser.session.get(f"{browser.base}/redirect/3") as answer:
            return answer.status, answer.url.path, len(answer.history)

    assert ask(around, work) == (200, "/get", 3)


def test_the_index_lists_the_endpoints(around):
    async def work(browser):
        return await browser.ask("/"), await browser.ask("/html")

    index, html = ask(around, work)
    assert "/delay/{seconds}\n" in index.text
    assert "<h1>" in html.text
