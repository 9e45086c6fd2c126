"""The target's headers and TLS, given to the clients that Locust makes for its users.

Both clients take them when they are made, so that a loadfile's own headers, set later or per request, win. With a
`Host` header and HTTPS the host is also the name for SNI and for the certificate: the gateway is reached by address,
its certificate is for the name.
"""

from __future__ import annotations

import ssl
from functools import wraps
from typing import TYPE_CHECKING, Any

import urllib3
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.load.wire import TargetOnWire, TlsOnWire


def _merged(ours: Mapping[str, str], theirs: Mapping[str, str] | None) -> dict[str, str]:
    """Our headers, without those that the loadfile sets itself, and its own."""
    own = dict(theirs or {})
    set_already = {name.lower() for name in own}
    return {name: value for name, value in ours.items() if name.lower() not in set_already} | own


def tls_context(tls: TlsOnWire) -> ssl.SSLContext:
    """A client's TLS context.

    Raises:
        OSError: a file can't be read or is no PEM (`ssl.SSLError` is one).
    """
    context = ssl.create_default_context(cafile=tls.ca)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key)
    return context


class Sessions:
    """Dresses every client whose base URL is the target's."""

    def __init__(self) -> None:
        self._target: TargetOnWire | None = None
        self._context: ssl.SSLContext | None = None
        self._server_name: str | None = None

    def aim(self, target: TargetOnWire) -> None:
        """Dress clients for this target from now on.

        Raises:
            OSError: a file of the TLS settings can't be used.
        """
        self._context = tls_context(target.tls) if target.tls else None
        if target.tls and not target.tls.verify:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        host = next((value for name, value in target.headers.items() if name.lower() == "host"), None)
        self._server_name = host.rsplit(":", 1)[0] if host and target.url.startswith("https:") else None
        self._target = target

    def install(self) -> None:
        """Patch the making of Locust's two HTTP clients."""
        HttpSession.__init__ = self._http(HttpSession.__init__)
        FastHttpSession.__init__ = self._fast_http(FastHttpSession.__init__)

    def _is_ours(self, base_url: str | None) -> bool:
        return self._target is not None and base_url == self._target.url

    def _http(self, make: Callable[..., None]) -> Callable[..., None]:
        @wraps(make)
        def init(session: Any, base_url: str, *args: Any, **kwargs: Any) -> None:
            make(session, base_url, *args, **kwargs)
            target = self._target
            if target is None or not self._is_ours(base_url):
                return
            session.headers.update(target.headers)
            if target.tls:
                session.verify = target.tls.ca or True if target.tls.verify else False
                if target.tls.certificate:
                    pair = (target.tls.certificate, target.tls.key)
                    session.cert = pair if target.tls.key else target.tls.certificate
            if self._server_name:
                names = {"server_hostname": self._server_name, "assert_hostname": self._server_name}
                if target.tls and not target.tls.verify:
                    names["assert_hostname"] = False  # type: ignore[assignment]
                session.get_adapter("https://").poolmanager.connection_pool_kw.update(names)

        return init

    def _fast_http(self, make: Callable[..., None]) -> Callable[..., None]:
        @wraps(make)
        def init(session: Any, base_url: str | None, *args: Any, **kwargs: Any) -> None:
            target = self._target
            if target is not None and self._is_ours(base_url):
                kwargs["headers"] = _merged(target.headers, kwargs.get("headers"))
                context = self._context
                if context is not None and target.tls and not kwargs.get("ssl_context_factory"):
                    kwargs["insecure"] = not target.tls.verify
                    kwargs["ssl_context_factory"] = lambda cafile=None: context  # noqa: ARG005 - the client's form
                if self._server_name:
                    kwargs.setdefault("ssl_options", {"server_hostname": self._server_name})
            make(session, base_url, *args, **kwargs)

        return init
