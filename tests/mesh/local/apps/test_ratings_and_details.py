"""The two services that call nobody: fixed details, and ratings with the sample's troubled variants."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.mesh.local.apps.bookinfo import details, ratings
from runner.mesh.local.apps.process import Settings

PLAIN = {"Reviewer1": 5, "Reviewer2": 4}
REFUSED = (503, {"error": "Service unavailable"})


def ask(around, make_app, work, version="v1", **options):
    async def run():
        async with around.app_at(make_app, Settings(version=version), **options) as browser:
            return await work(browser)

    return asyncio.run(asyncio.wait_for(run(), 60))


def several(*paths):
    async def work(browser):
        return [await browser.get_json(path) for path in paths]

    return work


def test_details_of_a_book(around):
    (status, book), health = ask(around, details.make_app, several("/details/3", "/health"))
    assert status == 200
    assert book == {
        "id": 3,
        "author": "William Shakespeare",
        "year": 1595,
        "type": "paperback",
        "pages": 200,
        "publisher": "PublisherA",
        "language": "English",
        "ISBN-10": "1234567890",
        "ISBN-13": "123-1234567890",
    }
    assert health == (200, {"status": "Details is healthy"})


@pytest.mark.parametrize("path", ["/details/abc", "/details/1.5", "/details", "/details/", "/details/1x"])
def test_details_need_a_number(around, path):
    assert ask(around, details.make_app, several(path)) == [(400, {"error": "please provide numeric product id"})]


def test_ratings_of_a_product(around):
    assert ask(around, ratings.make_app, several("/ratings/0", "/ratings/17", "/health")) == [
        (200, {"id": 0, "ratings": PLAIN}),
        (200, {"id": 17, "ratings": PLAIN}),
        (200, {"status": "Ratings is healthy"}),
    ]


@pytest.mark.parametrize("path", ["/ratings/abc", "/ratings/", "/ratings/x1"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_ratings_need_a_number(around, path, method):
    async def work(browser):
        return await browser.ask(path, method)

    reply = ask(around, ratings.make_app, work)
    assert (reply.status, reply.text) == (400, '{"error":"please provide numeric product ID"}')


@given(number=st.integers(-(10**18), 10**18), rest=st.text(alphabet="abc.-% ", max_size=5))
def test_the_product_number_is_what_the_last_step_begins_with(number, rest):
    assert ratings.product_number(f"/ratings/{number}{rest}") == number


def test_posted_ratings_are_kept_for_their_product(around):
    async def work(browser):
        posted = await browser.ask("/ratings/0", "POST", data='{"Reviewer1": 1, "Reviewer2": 2}')
        return posted, await browser.get_json("/ratings/0"), await browser.get_json("/ratings/1")

    posted, kept, other = ask(around, ratings.make_app, work)
    assert posted.status == 200
    assert kept == (200, {"id": 0, "ratings": {"Reviewer1": 1, "Reviewer2": 2}})
    assert other == (200, {"id": 1, "ratings": PLAIN})


@pytest.mark.parametrize("body", ["", "{", "Reviewer1=1", '{"Reviewer1": NaN}', "[" * 100_000])
def test_posted_ratings_must_be_json(around, body):
    async def work(browser):
        return await browser.ask("/ratings/0", "POST", data=body), await browser.get_json("/ratings/0")

    posted, kept = ask(around, ratings.make_app, work)
    assert (posted.status, posted.text) == (400, '{"error":"please provide valid ratings JSON"}')
    assert kept == (200, {"id": 0, "ratings": PLAIN})


def test_the_faulty_variant_refuses_half_of_the_requests(around):
    draws = iter([0.0, 0.5, 0.500001, 0.99])
    answers = ask(
        around, ratings.make_app, several(*["/ratings/0"] * 4), "v-faulty", chance=lambda: next(draws), delay=3600
    )
    assert answers == [REFUSED, REFUSED, (200, {"id": 0, "ratings": PLAIN}), (200, {"id": 0, "ratings": PLAIN})]


def test_the_delayed_variant_holds_half_of_the_requests_for_seven_seconds(around):
    draws = [0.6, 0.4, 0.6]
    drawn = []
    held_now = asyncio.Event()

    def chance():
        drawn.append(draws[len(drawn)])
        if drawn[-1] <= 0.5:
            held_now.set()
        return drawn[-1]

    async def work(browser):
        prompt = await browser.get_json("/ratings/0")
        held = asyncio.ensure_future(browser.get_json("/ratings/0"))
        await held_now.wait()
        later = await browser.get_json("/ratings/0")
        still_held = not held.done()
        held.cancel()
        await asyncio.wait([held])
        return prompt, later, still_held

    prompt, later, still_held = ask(around, ratings.make_app, work, "v-delayed", chance=chance, delay=3600)
    assert prompt == later == (200, {"id": 0, "ratings": PLAIN})
    assert still_held
    assert ratings.DELAY == 7.0


@pytest.mark.parametrize(("version", "period"), [("v-unavailable", 60), ("v-unhealthy", 900)])
def test_the_variants_that_take_turns(around, version, period):
    now = [1000.0]

    async def work(browser):
        seen = []
        for elapsed in (0, period - 1, period + 1, 2 * period - 1, 2 * period + 1):
            now[0] = 1000.0 + elapsed
            rating, health = await several("/ratings/0", "/health")(browser)
            seen.append((rating[0], health[0]))
        return seen

    bad_health = 500 if version == "v-unhealthy" else 200
    assert ask(around, ratings.make_app, work, version, clock=lambda: now[0]) == [
        (200, 200),
        (200, 200),
        (503, bad_health),
        (503, bad_health),
        (200, 200),
    ]


def test_plain_ratings_ignore_chance(around):
    answers = ask(around, ratings.make_app, several("/ratings/0"), "v1", chance=lambda: 0.0, delay=3600)
    assert answers == [(200, {"id": 0, "ratings": PLAIN})]
