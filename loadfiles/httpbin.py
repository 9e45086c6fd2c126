"""httpbin's `/headers`, and whether the request reached it by mutual TLS or in plain text.

The receiving sidecar tells its application of a client's certificate in `X-Forwarded-Client-Cert`, which httpbin sends back:
what Istio's guide looks for with `grep` is here the `outcome`, `mutual TLS` or `plain text`.

Locust's `HttpUser` and not `FastHttpUser`, which connects up to a dozen times for one request when its connections are closed
before any answer: a proxy that counts refused connections would count all of those.

Runs in plain Locust too: `locust -f loadfiles/httpbin.py --host http://127.0.0.1:8080`.
"""

from __future__ import annotations

from locust import HttpUser, between, task

PATH = "/headers"


def outcome(headers: str) -> str:
    """How a request came, from the headers that httpbin saw."""
    return "mutual TLS" if "x-forwarded-client-cert" in headers.lower() else "plain text"


class Curl(HttpUser):
    """Asks for the headers, on a new connection each time, as `curl` does."""

    wait_time = between(0.1, 0.5)
    page_name = PATH

    @task
    def read_headers(self) -> None:
        """Ask, and say how the request came."""
        with self.client.get(PATH, headers={"Connection": "close"}, catch_response=True) as response:
            if response.status_code == 200:  # noqa: PLR2004 - the only status with an echo
                response.request_meta["context"]["outcome"] = outcome(response.text or "")
