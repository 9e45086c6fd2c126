"""Calls from one Bookinfo service to another, through the sidecar, with the headers that the sample passes on."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp import web

log = logging.getLogger("app")

PORT = 9080
NO_ANSWER = 500
"""The status that the sample reports when a call timed out or could not be made."""

FORWARDED_HEADERS = (
    "x-request-id",
    "x-ot-span-context",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "traceparent",
    "tracestate",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "sw8",
    "user-agent",
    "cookie",
    "authorization",
    "jwt",
)
"""Trace context of every tracer that Istio supports, and the session's own headers."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended.

    Attributes:
        status: the HTTP status; `NO_ANSWER` when there was none.
        body: empty when there was no answer.
    """

    status: int
    body: bytes = b""


def forwarded(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of a request's headers that travel on with every call made for it."""
    return {name: value for name in FORWARDED_HEADERS if (value := headers.get(name)) is not None}


class Upstreams:
    """The other services, called through the sidecar's HTTP proxy when there is one.

    Args:
        proxy: the sidecar's HTTP proxy.
        pooled: keep connections; productpage makes a new one per call, as the sample does.
    """

    def __init__(self, proxy: str | None, *, pooled: bool) -> None:
        self._proxy = URL(proxy) if proxy else None
        self._pooled = pooled
        self._session: aiohttp.ClientSession | None = None

    async def lifespan(self, _app: web.Application) -> AsyncIterator[None]:
        """For the app's `cleanup_ctx`: the client lives as long as the app."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=not self._pooled),
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as self._session:
            yield

    async def get(self, service: str, path: str, headers: Mapping[str, str], patience: float) -> Answer:
        """`GET http://SERVICE:9080/PATH`.

        Args:
            service: the Kubernetes Service's name.
            path: already percent-encoded, without its first slash.
            headers: what to send.
            patience: seconds for connecting, and again between any two bytes of the answer: what `requests` and
                JAX-RS, which the sample uses, mean by a timeout.
        """
        if self._session is None:
            raise RuntimeError("Upstreams.lifespan is not in the app's cleanup_ctx")
        url = URL(f"http://{service}:{PORT}/{path}", encoded=True)
        timeout = aiohttp.ClientTimeout(sock_connect=patience, sock_read=patience)
        try:
            async with self._session.get(url, headers=headers, timeout=timeout, proxy=self._proxy) as response:
                answer = Answer(response.status, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("%s: no answer (%s)", url, type(error).__name__)
            return Answer(NO_ANSWER)
        if answer.status != 200:  # noqa: PLR2004 - nothing else is a success to the sample
            log.warning("%s: status %s", url, answer.status)
        return answer


def as_mapping(data: Any) -> dict[str, Any]:
    """`data` when it is a JSON object, an empty one otherwise: what another service sent may be anything."""
    return data if isinstance(data, dict) else {}
