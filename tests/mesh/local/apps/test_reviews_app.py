"""The three versions of reviews, and what they make of the ratings service."""

from __future__ import annotations

import asyncio

import pytest

from runner.errors import InputError
from runner.mesh.local.apps.bookinfo import reviews
from runner.mesh.local.apps.bookinfo.reviews import VERSIONS, Stars
from runner.mesh.local.apps.process import Settings

STARS = {"id": 0, "ratings": {"Reviewer1": 5, "Reviewer2": 4}}
UNAVAILABLE = {"error": "Ratings service is currently unavailable"}


def reviewed(around, version, work=None, *, stars=None, **answers):
    async def plain(browser, _sidecar):
        status, data = await browser.get_json("/reviews/0")
        assert status == 200
        return data

    async def run():
        async with around.sidecar_with(**answers) as sidecar:
            settings = Settings(proxy=sidecar.url, version=version, pod_name=f"reviews-{version}", cluster_name="c1")
            async with around.app_at(reviews.make_app, settings, stars=stars) as browser:
                return await (work or plain)(browser, sidecar)

    return asyncio.run(asyncio.wait_for(run(), 60))


def test_the_versions_are_the_samples():
    assert VERSIONS["v1"] is None
    assert VERSIONS["v2"] == Stars("black", 10.0)
    assert VERSIONS["v3"] == Stars("red", 2.5)
    assert len(VERSIONS) == 3


def test_v1_asks_nobody_and_has_no_ratings(around):
    async def work(browser, sidecar):
        return await browser.get_json("/reviews/0"), sidecar.calls

    (status, data), calls = reviewed(around, "v1", work, ratings=around.says(STARS))
    assert status == 200
    assert (data["id"], data["podname"], data["clustername"]) == ("0", "reviews-v1", "c1")
    assert [review["reviewer"] for review in data["reviews"]] == ["Reviewer1", "Reviewer2"]
    assert data["reviews"][0]["text"].startswith("An extremely entertaining play by Shakespeare.")
    assert all("rating" not in review for review in data["reviews"])
    assert calls == []


@pytest.mark.parametrize(("version", "color"), [("v2", "black"), ("v3", "red")])
def test_later_versions_show_stars(around, version, color):
    data = reviewed(around, version, ratings=around.says(STARS))
    shown = [review["rating"] for review in data["reviews"]]
    assert shown == [{"stars": 5, "color": color}, {"stars": 4, "color": color}]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("fault filter abort", 500),
        ("fault filter abort", 200),
        (STARS, 503),
        ({"id": 0}, 200),
        ([], 200),
        ({"ratings": {"Reviewer1": "5", "Reviewer2": -1}}, 200),
    ],
)
def test_any_trouble_with_ratings_is_told_inside_a_200(around, body, status):
    data = reviewed(around, "v2", ratings=around.says(body, status))
    assert [review["rating"] for review in data["reviews"]] == [UNAVAILABLE, UNAVAILABLE]


def test_a_rating_that_only_one_reviewer_has_is_shown(around):
    data = reviewed(around, "v2", ratings=around.says({"ratings": {"Reviewer2": 1}}))
    assert [review["rating"] for review in data["reviews"]] == [UNAVAILABLE, {"stars": 1, "color": "black"}]


def test_slow_ratings_are_given_up_after_the_versions_patience_and_not_tried_again(around):
    async def work(browser, sidecar):
        answer = await browser.get_json("/reviews/0")
        return answer, await asyncio.wait_for(sidecar.ended.get(), 30), len(sidecar.to("ratings"))

    (status, data), ended, tries = reviewed(around, "v3", work, stars=Stars("red", 0.2), ratings=around.never())
    assert status == 200
    assert [review["rating"] for review in data["reviews"]] == [UNAVAILABLE, UNAVAILABLE]
    assert (ended, tries) == ("ratings:9080", 1)


def test_the_end_user_and_trace_headers_travel_on(around):
    async def work(browser, sidecar):
        await browser.ask("/reviews/12", headers={"end-user": "jason", "x-b3-traceid": "abc", "x-other": "z"})
        await browser.ask("/reviews/12")
        return sidecar.calls

    first, second = reviewed(around, "v2", work, ratings=around.says(STARS))
    assert first.target == "http://ratings:9080/ratings/12"
    assert (first.headers["end-user"], first.headers["x-b3-traceid"]) == ("jason", "abc")
    assert "x-other" not in first.headers
    assert "end-user" not in second.headers


def test_a_caller_who_gives_up_ends_the_call_to_ratings(around):
    async def work(browser, sidecar):
        asked = asyncio.ensure_future(browser.ask("/reviews/0"))
        await asyncio.wait_for(sidecar.arrived.get(), 30)
        asked.cancel()
        return await asyncio.wait_for(sidecar.ended.get(), 30)

    assert reviewed(around, "v2", work, stars=Stars("black", 3600), ratings=around.never()) == "ratings:9080"


def test_health_and_unknown_paths(around):
    async def work(browser, _sidecar):
        return await browser.get_json("/health"), [(await browser.ask(p)).status for p in ("/reviews/x", "/reviews/")]

    assert reviewed(around, "v2", work) == ((200, {"status": "Reviews is healthy"}), [404, 404])


def test_an_unknown_version_is_refused():
    with pytest.raises(InputError, match='no version "v4"; expected one of v1, v2, v3'):
        reviews.make_app(Settings(version="v4"))
