"""What an API server answers when it does not do what was asked, in the words of this program's error tree."""

from __future__ import annotations

import json
from typing import Any

from runner.errors import MeshError


class AwayError(MeshError):
    """The API server did not answer for as long as was waited; whether a change was made is not known."""


class CredentialError(MeshError):
    """The API server does not accept who we say we are."""


class StatusError(MeshError):
    """The API server answered with an error status.

    Attributes:
        code: the HTTP status.
        reason: Kubernetes' own word for it: `Forbidden`, `Conflict`, `Invalid`, `NotFound`, `AlreadyExists`.
        message: Kubernetes' own sentence.
        fields: what is wrong with single fields of an object (`spec.http[0].timeout`), in its words.
    """

    def __init__(
        self, code: int, reason: str, message: str, asked: str, fields: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self.code = code
        self.reason = reason
        self.message = message
        self.fields = fields
        super().__init__(f"{asked}: {message}", advice=_advice(code))

    @property
    def not_found(self) -> bool:
        """Whether there is no such thing."""
        return self.code == 404  # noqa: PLR2004 - HTTP's

    @property
    def forbidden(self) -> bool:
        """Whether the caller lacks the permission (and no webhook refused)."""
        return self.code == 403 and "cannot " in self.message  # noqa: PLR2004 - HTTP's

    @property
    def conflict(self) -> bool:
        """Whether somebody else changed it in between."""
        return self.code == 409  # noqa: PLR2004 - HTTP's

    @property
    def refused(self) -> bool:
        """Whether the object itself was refused: by its schema, by validation, or by an admission webhook."""
        return self.code in {400, 422} or (self.code == 403 and not self.forbidden)  # noqa: PLR2004 - HTTP's


def status_error(code: int, body: bytes, asked: str) -> StatusError:
    """The error that an answer means; `body` is a `Status` object, or whatever a proxy on the way wrote."""
    try:
        status: Any = json.loads(body)
    except ValueError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        words = body.decode("utf-8", "replace").strip().splitlines()
        return StatusError(code, "", words[0][:300] if words else f"answered {code}", asked)
    causes = (status.get("details") or {}).get("causes") or []
    fields = tuple((str(cause.get("field") or ""), str(cause.get("message") or "")) for cause in causes)
    message = str(status.get("message") or f"answered {code}")
    return StatusError(code, str(status.get("reason") or ""), message, asked, fields)


def _advice(code: int) -> str | None:
    if code == 403:  # noqa: PLR2004 - HTTP's
        return "Ask for this permission; docs/guide/cluster.md lists what a run needs"
    return None
