"""The page and the API: tries, patience, texts, sessions and what travels on to the other services."""

from __future__ import annotations

import asyncio
import re

import pytest

from runner.mesh.local.apps.bookinfo import productpage, session
from runner.mesh.local.apps.bookinfo.productpage import Call, Calls
from runner.mesh.local.apps.process import Settings

BOOK = {
    "id": 0,
    "type": "paperback",
    "pages": 200,
    "publisher": "PublisherA",
    "language": "English",
    "ISBN-10": "1234567890",
    "ISBN-13": "123-1234567890",
}
NO_REVIEWS = "Sorry, product reviews are currently unavailable for this book."
NO_DETAILS = "Sorry, product details are currently unavailable for this book."
NO_RATINGS = "Sorry, product ratings are currently unavailable for this book."
STAR = "glyphicon glyphicon-star"

HASTY = Calls(Call("details", 0.2), Call("reviews", 0.2, 2), Call("ratings", 0.2))
"""The sample's calls with less patience, so that a test need not wait for three seconds."""


def reviews_with(*ratings, **more):
    texts = ("Funny!", "Too long.")
    reviews = [{"reviewer": f"Reviewer{n}", "text": text} for n, text in enumerate(texts, 1)]
    for review, rating in zip(reviews, ratings, strict=False):
        review["rating"] = rating
    return {"id": "0", "podname": "reviews-v9-0", "clustername": "null", "reviews": reviews, **more}


def on_page(around, work, *, calls=None, **answers):
    """Run `work(browser, sidecar)` against a productpage behind a stand-in sidecar."""

    async def run():
        answers.setdefault("details", around.says(BOOK))
        answers.setdefault("reviews", around.says(reviews_with()))
        async with around.sidecar_with(**answers) as sidecar:
            settings = Settings(proxy=sidecar.url)
            async with around.app_at(productpage.make_app, settings, calls=calls or HASTY) as browser:
                return await work(browser, sidecar)

    return asyncio.run(asyncio.wait_for(run(), 60))


def page_with(around, **answers):
    async def work(browser, _sidecar):
        reply = await browser.ask("/productpage")
        assert reply.status == 200
        return reply.text

    return on_page(around, work, **answers)


def test_the_samples_patience_and_tries():
    calls = Calls()
    assert (calls.reviews.patience, calls.reviews.tries) == (3.0, 2)
    assert (calls.details.patience, calls.details.tries) == (3.0, 1)
    assert (calls.ratings.patience, calls.ratings.tries) == (3.0, 1)


def test_the_page_shows_book_details_and_reviews(around):
    text = page_with(around)
    assert "<title>Simple Bookstore App</title>" in text
    assert "The Comedy of Errors" in text
    for label, key in (("Type", "type"), ("Pages", "pages"), ("Publisher", "publisher"), ("ISBN-13", "ISBN-13")):
        assert re.search(rf"<th[^>]*>{label}</th><td>{re.escape(str(BOOK[key]))}</td>", text)
    assert "Book Details" in text
    assert "Book Reviews" in text
    assert "Funny!" in text
    assert "Reviewer2" in text
    assert "reviews-v9-0" in text
    assert STAR not in text
    assert "Error fetching" not in text


@pytest.mark.parametrize("color", ["black", "red"])
def test_stars_have_the_samples_marker_and_the_versions_color(around, color):
    ratings = ({"stars": 5, "color": color}, {"stars": 3, "color": color})
    text = page_with(around, reviews=around.says(reviews_with(*ratings)))
    assert text.count('class="glyphicon glyphicon-star"') == 8
    assert text.count('class="glyphicon glyphicon-star-empty"') == 2
    assert text.count(f'color="{color}"') == 2


@pytest.mark.parametrize(("stars", "full"), [(0, 0), (-3, 0), (9, 5), (10**12, 5)])
def test_a_rating_out_of_range_is_still_five_stars_long(around, stars, full):
    text = page_with(around, reviews=around.says(reviews_with({"stars": stars, "color": "red"})))
    assert text.count('glyphicon-star"') == full
    assert text.count('glyphicon-star-empty"') == 5 - full


def test_ratings_trouble_is_shown_beside_each_review(around):
    trouble = {"error": "Ratings service is currently unavailable"}
    text = page_with(around, reviews=around.says(reviews_with(trouble, trouble)))
    assert text.count("Ratings service is currently unavailable") == 2
    assert STAR not in text


def test_what_other_services_send_is_escaped(around):
    text = page_with(around, reviews=around.says(reviews_with(podname="<script>alert(1)</script>")))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_reviews_that_never_answer_are_tried_twice_and_given_up(around):
    async def work(browser, sidecar):
        reply = await browser.ask("/productpage")
        given_up = [await asyncio.wait_for(sidecar.ended.get(), 30) for _ in range(3)]
        return reply, len(sidecar.to("reviews")), given_up

    reply, tries, given_up = on_page(around, work, reviews=around.never())
    assert reply.status == 200
    assert "Error fetching product reviews!" in reply.text
    assert NO_REVIEWS in reply.text
    assert "Book Details" in reply.text
    assert tries == 2
    assert sorted(given_up) == ["details:9080", "reviews:9080", "reviews:9080"]


def test_reviews_that_fail_once_are_shown(around):
    answers = iter([around.says("upstream request timeout", 504), around.says(reviews_with())])

    async def once_bad(request):
        return await next(answers)(request)

    text = page_with(around, reviews=once_bad)
    assert "Funny!" in text
    assert NO_REVIEWS not in text


@pytest.mark.parametrize("status", [201, 204, 403, 404, 500, 503])
def test_any_status_but_200_is_tried_again(around, status):
    async def work(browser, sidecar):
        return (await browser.ask("/productpage")).text, len(sidecar.to("reviews"))

    text, tries = on_page(around, work, reviews=around.says("", status))
    assert tries == 2
    assert NO_REVIEWS in text


def test_details_that_never_answer_get_one_try(around):
    async def work(browser, sidecar):
        return (await browser.ask("/productpage")).text, len(sidecar.to("details"))

    text, tries = on_page(around, work, details=around.never())
    assert tries == 1
    assert "Error fetching product details!" in text
    assert NO_DETAILS in text
    assert "Book Reviews" in text


def test_details_come_before_reviews(around):
    async def work(browser, sidecar):
        await browser.ask("/productpage")
        return [call.target for call in sidecar.calls]

    assert on_page(around, work) == ["http://details:9080/details/0", "http://reviews:9080/reviews/0"]


def test_connections_are_not_pooled(around):
    async def work(browser, sidecar):
        await browser.ask("/productpage")
        return [call.headers.get("connection") for call in sidecar.calls]

    assert on_page(around, work) == ["close", "close"]


def test_without_a_sidecar_the_page_tells_both_errors(around):
    async def run():
        settings = Settings(proxy=f"http://{around.free_address(15002)}:15002")
        async with around.app_at(productpage.make_app, settings) as browser:
            return await browser.ask("/productpage"), await browser.get_json("/api/v1/products/0")

    reply, (status, answer) = asyncio.run(run())
    assert reply.status == 200
    assert NO_DETAILS in reply.text
    assert NO_REVIEWS in reply.text
    assert (status, answer) == (500, {"error": NO_DETAILS})


def test_a_200_that_is_no_json_is_an_internal_error(around):
    async def work(browser, _sidecar):
        return [(await browser.ask(path)).status for path in ("/productpage", "/api/v1/products/0/reviews")]

    assert on_page(around, work, reviews=around.says("fault filter abort")) == [500, 500]


def test_the_api(around):
    async def work(browser, _sidecar):
        return [
            await browser.get_json(f"/api/v1/products{path}")
            for path in ("", "/0", "/0/reviews", "/7/ratings", "/a%2Fb")
        ]

    ratings = {"id": 7, "ratings": {"Reviewer1": 5, "Reviewer2": 4}}
    products, details, reviews, stars, _ = on_page(around, work, ratings=around.says(ratings))
    assert products[1][0]["title"] == "The Comedy of Errors"
    assert "Wikipedia Summary" in products[1][0]["descriptionHtml"]
    assert details == (200, BOOK)
    assert reviews == (200, reviews_with())
    assert stars == (200, ratings)


def test_the_apis_status_is_the_services_own(around):
    async def work(browser, sidecar):
        answers = [await browser.get_json(f"/api/v1/products/{path}") for path in ("x%2Fy", "0/reviews", "0/ratings")]
        return answers, [call.target for call in sidecar.calls]

    answers, targets = on_page(
        around, work, details=around.says("", 400), reviews=around.says("", 503), ratings=around.never()
    )
    assert answers == [(400, {"error": NO_DETAILS}), (503, {"error": NO_REVIEWS}), (500, {"error": NO_RATINGS})]
    assert targets == ["http://details:9080/details/x%2Fy", *["http://reviews:9080/reviews/0"] * 2, targets[-1]]


TRACE = {
    "x-request-id": "8a5c",
    "x-ot-span-context": "a",
    "x-datadog-trace-id": "1",
    "x-datadog-parent-id": "2",
    "x-datadog-sampling-priority": "3",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "a=b",
    "x-cloud-trace-context": "c/1",
    "grpc-trace-bin": "AAA",
    "x-b3-traceid": "d",
    "x-b3-spanid": "e",
    "x-b3-parentspanid": "f",
    "x-b3-sampled": "1",
    "x-b3-flags": "0",
    "sw8": "g",
    "user-agent": "tester/1",
    "cookie": "a=b",
    "authorization": "Bearer x",
    "jwt": "y",
}


def test_trace_and_session_headers_travel_on_and_others_do_not(around):
    async def work(browser, sidecar):
        sent = {**TRACE, "end-user": "mallory", "x-forwarded-for": "1.2.3.4", "x-other": "z"}
        await browser.ask("/productpage", headers=sent)
        return sidecar.calls

    calls = on_page(around, work)
    assert len(calls) == 2
    for call in calls:
        assert {name: call.headers.get(name) for name in TRACE} == TRACE
        assert not {"end-user", "x-forwarded-for", "x-other"} & set(call.headers)


def test_signing_in_sets_a_session_that_names_the_end_user(around):
    async def work(browser, sidecar):
        entered = await browser.ask("/login", "POST", data={"username": "jason", "passwd": ""})
        cookie = entered.headers["Set-Cookie"].partition(";")[0]
        shown = await browser.ask("/productpage", headers={"Cookie": cookie, "end-user": "mallory"})
        left = await browser.ask("/logout", headers={"Cookie": cookie})
        return entered, cookie, shown, left, list(sidecar.calls)

    entered, cookie, shown, left, calls = on_page(around, work)
    assert (entered.status, entered.headers["Location"]) == (302, "/productpage")
    assert cookie.startswith("session=")
    assert '"' not in cookie
    assert "HttpOnly" in entered.headers["Set-Cookie"]
    assert ">jason<" in shown.text
    assert 'href="logout"' in shown.text
    assert 'action="login"' not in shown.text
    assert [call.headers["end-user"] for call in calls] == ["jason", "jason"]
    assert (left.status, left.headers["Location"]) == (302, "/productpage")
    assert re.search(r'session="?"?; .*(Max-Age=0|expires=Thu, 01 Jan 1970)', left.headers["Set-Cookie"])


def test_nobody_signed_in_sees_a_form_that_works_without_scripts(around):
    text = page_with(around)
    assert re.search(r'<form method="post" action="login".*name="username".*name="passwd"', text, re.DOTALL)
    assert "<script" not in text


def test_a_forged_session_is_nobody(around):
    async def work(browser, sidecar):
        real = session.sign("mallory")
        forged = session.sign("jason").partition(".")[0] + "." + real.partition(".")[2]
        for value in (forged, "jason", "", ".", "a.b", real[:-1]):
            await browser.ask("/productpage", headers={"Cookie": f"session={value}"})
        return sidecar.calls

    calls = on_page(around, work)
    assert len(calls) == 12
    assert not any("end-user" in call.headers for call in calls)


@pytest.mark.parametrize("user", ["jason", "Jürgen Müller", "a" * 100, "x;y=z, q"])
def test_any_printable_name_comes_back_out_of_a_session(user):
    assert session.user_of(session.sign(user)) == user


@pytest.mark.parametrize("user", [None, "", "   ", "a" * 101, "evil\r\nx-admin: 1", "nul\0"])
def test_a_user_name_that_cannot_travel_is_refused(around, user):
    async def work(browser, _sidecar):
        return await browser.ask("/login", "POST", data={} if user is None else {"username": user})

    reply = on_page(around, work)
    assert reply.status == 400
    assert "username" in reply.text
    assert "Set-Cookie" not in reply.headers


def test_pages_without_calls(around):
    async def work(browser, sidecar):
        paths = ("/", "/index.html", "/health", "/static/icon.svg", "/login", "/nowhere")
        replies = [await browser.ask(path) for path in paths]
        return replies, sidecar.calls

    (index, index_html, health, icon, login, nowhere), calls = on_page(around, work)
    assert index.status == index_html.status == 200
    assert "<title>Simple Bookstore App</title>" in index.text
    assert (health.status, health.text) == (200, "Product page is healthy")
    assert icon.status == 200
    assert icon.headers["Content-Type"] == "image/svg+xml"
    assert login.status == 405
    assert nowhere.status == 404
    assert calls == []


def test_results_are_counted_for_prometheus(around):
    async def work(browser, _sidecar):
        await browser.ask("/productpage")
        await browser.ask("/productpage")
        return await browser.ask("/metrics")

    reply = on_page(around, work, reviews=around.says("", 503))
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'request_result_total{destination_app="details",response_code="200"} 2\n' in reply.text
    assert 'request_result_total{destination_app="reviews",response_code="503"} 4\n' in reply.text


def test_a_visitor_who_leaves_takes_the_calls_along(around):
    async def work(browser, sidecar):
        asked = asyncio.ensure_future(browser.ask("/productpage"))
        arrived = [await asyncio.wait_for(sidecar.arrived.get(), 30) for _ in range(2)]
        assert arrived == ["details:9080", "reviews:9080"]
        assert await asyncio.wait_for(sidecar.ended.get(), 30) == "details:9080"
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        return await asyncio.wait_for(sidecar.ended.get(), 30), len(sidecar.to("reviews"))

    patient = Calls(reviews=Call("reviews", 3600, 2))
    assert on_page(around, work, calls=patient, reviews=around.never()) == ("reviews:9080", 1)
