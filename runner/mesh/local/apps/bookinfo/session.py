"""Who is signed in, in a signed cookie, so that any replica of productpage can read it and no client makes one up."""

from __future__ import annotations

import base64
import hashlib
import hmac

COOKIE = "session"

LONGEST = 100
"""Characters of a user's name."""

KEY = hashlib.sha256(b"meshtrial bookinfo session").digest()
"""Public on purpose: every replica must have the same one, and the sample takes any password anyway."""


def sign(user: str) -> str:
    """The cookie's value for a user."""
    payload = _text(user.encode())
    return f"{payload}.{_signature(payload)}"


def user_of(value: str | None) -> str | None:
    """The user that a cookie's value names; None when it names nobody or its signature is wrong."""
    payload, _, signature = (value or "").partition(".")
    if not value or not value.isascii() or not hmac.compare_digest(_signature(payload), signature):
        return None
    return base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode() or None


def acceptable(user: str) -> bool:
    """Whether a name can travel in the `end-user` header: not empty, printable, of a bearable length."""
    return 0 < len(user) <= LONGEST and user.isprintable()


def _signature(payload: str) -> str:
    return _text(hmac.digest(KEY, payload.encode(), "sha256"))


def _text(raw: bytes) -> str:
    """Base64 without padding, which would need quotes in a cookie."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
