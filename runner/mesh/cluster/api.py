"""Calls to one API server: JSON in and out, a time limit on each, and patience with one that is slow or away for a moment.

The client package gives credentials, TLS and connection pools; paths are asked for directly, because the kinds that a run
touches are custom resources, which it knows nothing about.
"""

from __future__ import annotations

import json
import ssl
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError, SSLError

from runner.mesh.cluster.errors import AwayError, CredentialError, status_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubernetes.client import Configuration

PATIENCE = 12.0
"""How long, in seconds, an API server may be away before a call gives up: it restarts, or a load balancer moves on."""

_CONNECT, _READ = 3.0, 20.0
_PAUSE = 0.25
_OVERLOADED = frozenset({429, 500, 502, 503, 504})
_UNAUTHORIZED = 401
_FORBIDDEN = 403

Query = dict[str, str]


class Api:
    """An API server and who we are to it; safe for use by several threads.

    Attributes:
        configuration: the client package's own.
        context: the kubeconfig's context; `(in-cluster)` inside a pod.
        server: its URL.
    """

    def __init__(self, configuration: Configuration, context: str) -> None:
        configuration.retries = False
        configuration.connection_pool_maxsize = 32
        self.configuration = configuration
        self.context = context
        self.server = str(configuration.host).rstrip("/")
        self._client = ApiClient(configuration)

    def headers(self) -> dict[str, str]:
        """The credential, for websockets too (the client package renews it when it is about to expire)."""
        token = self.configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        return {"authorization": token} if token else {}

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """`GET` as JSON.

        Raises:
            StatusError: the server refused.
            CredentialError: it does not accept who we are.
            AwayError: it does not answer.
        """
        return self.call("GET", path, query)

    def text(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """`GET` as text.

        Raises:
            MeshError: as `get`.
        """
        return self._bytes("GET", path, query, None).decode("utf-8", "replace")

    def call(self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None) -> Any:
        """A call with a JSON body and a JSON answer; reads are tried again while the server is away, for `PATIENCE` at most.

        A write is tried again only where it is certain that the server did not take it.

        Raises:
            MeshError: as `get`.
        """
        answer = self._bytes(method, path, query, body)
        return json.loads(answer) if answer else {}

    def _bytes(self, method: str, path: str, query: Mapping[str, str] | None, body: Any) -> bytes:
        deadline = time.monotonic() + PATIENCE
        url = self.url(path, query)
        asked = f"{method} {path}"
        while True:
            try:
                code, answer, wait = self._once(method, url, body)
            except AwayError as error:
                certain = method == "GET" or error.__cause__ is None or _never_sent(error.__cause__)
                if not certain or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)
                continue
            if code < 300:  # noqa: PLR2004 - HTTP's successes
                return answer
            if code in _OVERLOADED and (method == "GET" or code in {429, 503}) and time.monotonic() < deadline:
                time.sleep(min(wait or _PAUSE, 2.0))
                continue
            refusal = status_error(code, answer, asked)
            if code == _UNAUTHORIZED or (code == _FORBIDDEN and '"system:anonymous"' in refusal.message):
                raise CredentialError(
                    f"the cluster at {self.server} does not accept the credential of the context {self.context} ({code})",
                    advice="It may have expired: log in again, or name another context with --context",
                )
            if code in _OVERLOADED:
                raise AwayError(f"the API server at {self.server} is out of order: {refusal.message}", advice=_AGAIN)
            raise refusal

    def _once(self, method: str, url: str, body: Any) -> tuple[int, bytes, float]:
        headers = {"Accept": "application/json", **self.headers()}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            response = self._client.call_api(
                method, url, header_params=headers, body=body, _request_timeout=(_CONNECT, _READ)
            )
            answer: bytes = response.read()
            after = str(response.headers.get("Retry-After") or "")
            return response.status, answer, float(after) if after.isdigit() else 0.0
        except (SSLError, ssl.SSLError) as error:
            raise self._untrusted(error) from None
        except ApiException as error:
            if "certificate" in str(error.reason):
                raise self._untrusted(error.reason) from None
            raise self._away(error) from error
        except (HTTPError, OSError) as error:
            raise self._away(error) from error

    def _untrusted(self, error: object) -> CredentialError:
        words = str(error).strip().rpartition("\n")[2]
        return CredentialError(
            f"the certificate of the API server at {self.server} or that of the context {self.context} is no good: {words}",
            advice="Look at certificate-authority-data and client-certificate-data in the kubeconfig",
        )

    def _away(self, error: Exception) -> AwayError:
        return AwayError(
            f"the API server at {self.server} (context {self.context}) does not answer: {_words(error)}", advice=_AGAIN
        )

    def url(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """The whole URL of a path."""
        return f"{self.server}{path}" + (f"?{urlencode(query)}" if query else "")

    def close(self) -> None:
        """Close all connections."""
        self._client.rest_client.pool_manager.clear()


_AGAIN = "See whether `kubectl get --raw /readyz` answers, then run again"


def _never_sent(error: BaseException) -> bool:
    name = type(error).__name__
    return name in {"NewConnectionError", "ConnectTimeoutError", "NameResolutionError", "ConnectionRefusedError"}


def _words(error: Exception) -> str:
    text = str(getattr(error, "reason", None) or error)
    return text.rpartition(": ")[2] or type(error).__name__


def segment(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")
