"""Bookinfo's product page, as somebody who is not signed in and as the user jason.

Runs in plain Locust too: `locust -f loadfiles/bookinfo.py --host http://127.0.0.1:8080`. Select one kind of user by its
class name; without, both visit equally often. What a page showed is its `outcome`, one or more of

    reviews unavailable, details unavailable, ratings unavailable, black stars, red stars, no stars

or, where an AuthorizationPolicy refused it, `access denied`.
"""

from __future__ import annotations

from locust import FastHttpUser, between, task
from locust.exception import LocustError

PAGE = "/productpage"


DENIED = "RBAC: access denied"
"""The body of Envoy's answer to a request that no policy allows."""


def outcomes(page: str) -> list[str]:
    """What a product page shows, from the texts and marks of the sample's template."""
    shown = []
    if "Sorry, product details are currently unavailable for this book." in page:
        shown.append("details unavailable")
    if "Sorry, product reviews are currently unavailable for this book." in page:
        return [*shown, "reviews unavailable"]
    if "Ratings service is currently unavailable" in page:
        shown.append("ratings unavailable")
    elif 'class="glyphicon glyphicon-star' not in page:
        shown.append("no stars")
    if 'color="black"' in page:
        shown.append("black stars")
    if 'color="red"' in page:
        shown.append("red stars")
    return shown


class Visitor(FastHttpUser):
    """Somebody who reads the product page."""

    abstract = True
    wait_time = between(1, 3)
    page_name = PAGE

    @task
    def read_product_page(self) -> None:
        """Load the page and say what it showed."""
        with self.client.get(PAGE, name=self.page_name, catch_response=True) as response:
            if response.status_code == 200:  # noqa: PLR2004 - the only status with a page
                response.request_meta["context"]["outcome"] = outcomes(response.text or "")
            elif response.status_code == 403 and response.text == DENIED:  # noqa: PLR2004 - as above
                response.request_meta["context"]["outcome"] = ["access denied"]


class Anonymous(Visitor):
    """Not signed in."""


class Jason(Visitor):
    """Signed in as jason, for whom the guide's faults are."""

    page_name = f"{PAGE} as jason"

    def on_start(self) -> None:
        """Sign in, and keep the session's cookie."""
        form = {"username": "jason", "passwd": "jason"}
        # The redirect leads to the product page, which is to be measured and not visited here.
        response = self.client.post("/login", data=form, allow_redirects=False)
        if "set-cookie" not in (response.headers or {}):
            raise LocustError(f"jason could not sign in (status {response.status_code})")
