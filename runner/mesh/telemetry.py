"""What a mesh can tell beside its proxies' own answers: its Prometheus, its control plane's metrics, and what its processes use.

Evidence of this kind may be missing: each question then raises `MeshError` whose `what` is the reason that a report gives. Nothing
of it may ever end a run.
"""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Protocol
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from runner.errors import MeshError

if TYPE_CHECKING:
    from runner.results.usage import Usage

URL_VARIABLE = "MESHTRIAL_PROMETHEUS"
TOKEN_VARIABLE = "MESHTRIAL_PROMETHEUS_TOKEN"  # noqa: S105 - the variable's name
_ANSWER = 10.0
_QUERY_ERRORS = frozenset({400, 422, 503})
"""Statuses with which Prometheus' HTTP API says in JSON what was wrong with a query."""


class Telemetry(Protocol):
    """What can be asked; every method raises `MeshError` with the reason where it can't be had."""

    @property
    def prometheus_name(self) -> str:
        """Where Prometheus is, for messages; empty while that is not known."""
        ...

    def prometheus(self, path: str) -> str:
        """Prometheus' answer to `GET path` (`/api/v1/...`), also one that says what is wrong with a query."""
        ...

    def control_plane(self) -> dict[str, str]:
        """Each istiod's metrics in Prometheus' text format, by pod; empty where there is no istiod."""
        ...

    def usage(self) -> list[Usage]:
        """CPU time and memory of proxies and applications now."""
        ...

    @property
    def usage_note(self) -> str:
        """Why only memory is known; empty where CPU time is, too."""
        ...


class PrometheusUrl:
    """Prometheus at a URL that the user gave: HTTP or HTTPS, with a user and password in it, or a bearer token in the environment."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url.rstrip("/"))
        user, at, host = parts.netloc.rpartition("@")
        self._base = parts._replace(netloc=host, query="", fragment="").geturl()
        self.name = self._base
        self._headers: dict[str, str] = {}
        token = os.environ.get(TOKEN_VARIABLE)
        if at:
            self._headers["Authorization"] = "Basic " + base64.b64encode(unquote(user).encode()).decode()
        elif token:
            self._headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str) -> str:
        """The body of `GET path`.

        Raises:
            MeshError: it is no HTTP URL, or nothing answers there.
        """
        if not self._base.startswith(("http://", "https://")):
            raise MeshError(f"{self._base} is no http URL, so Prometheus was not asked")
        request = Request(self._base + path, headers=self._headers)  # noqa: S310 - the scheme was looked at
        try:
            with urlopen(request, timeout=_ANSWER) as response:  # noqa: S310 - the same
                return str(response.read().decode("utf-8", "replace"))
        except HTTPError as error:
            body = error.read().decode("utf-8", "replace")
            if error.code in _QUERY_ERRORS and _is_json(body):
                return body
            raise MeshError(f"Prometheus at {self.name} answers {error.code} {error.reason}") from None
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", None) or error
            raise MeshError(f"Prometheus at {self.name} does not answer: {why}") from None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


class NoTelemetry:
    """A mesh that has none of it, but may know of a Prometheus by URL.

    Args:
        why_no_prometheus: the reason where there is no URL.
        url: Prometheus.
    """

    def __init__(self, why_no_prometheus: str, url: str | None = None) -> None:
        self._why = why_no_prometheus
        self._url = PrometheusUrl(url) if url else None

    @property
    def prometheus_name(self) -> str:
        """Where Prometheus is."""
        return self._url.name if self._url else ""

    def prometheus(self, path: str) -> str:
        """Prometheus' answer.

        Raises:
            MeshError: there is none, or it does not answer.
        """
        if self._url is None:
            raise MeshError(self._why)
        return self._url.get(path)

    def control_plane(self) -> dict[str, str]:
        """There is no istiod here."""
        return {}

    def usage(self) -> list[Usage]:
        """Nothing is known of processes here."""
        return []

    @property
    def usage_note(self) -> str:
        """Nothing to say."""
        return ""
