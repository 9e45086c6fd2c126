"""Header operations of VirtualServices, in the order in which istiod has Envoy carry them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.istio.virtual_service import Headers
    from runner.mesh.local.translate.model import Message


@dataclass(frozen=True, slots=True)
class HeaderChanges:
    """What is set, appended and removed, as Envoy's options.

    Attributes:
        request_add: request headers to set (overwriting) and then to append.
        request_remove: names of request headers to remove.
        response_add: response headers, likewise.
        response_remove: names of response headers to remove.
        authority: the `Host` that is set this way: Envoy must rewrite it instead.
    """

    request_add: tuple[Message, ...] = ()
    request_remove: tuple[str, ...] = ()
    response_add: tuple[Message, ...] = ()
    response_remove: tuple[str, ...] = ()
    authority: str = ""

    @classmethod
    def of(cls, headers: Headers | None) -> HeaderChanges:
        """The changes that Istio's `headers` ask for."""
        if headers is None:
            return cls()
        request, response = headers.request, headers.response
        return cls(
            request_add=(
                *_options(request.set, "OVERWRITE_IF_EXISTS_OR_ADD"),
                *_options(request.add, "APPEND_IF_EXISTS_OR_ADD"),
            ),
            request_remove=_ordinary(request.remove),
            response_add=(
                *_options(response.set, "OVERWRITE_IF_EXISTS_OR_ADD"),
                *_options(response.add, "APPEND_IF_EXISTS_OR_ADD"),
            ),
            response_remove=_ordinary(response.remove),
            authority=_authority(request.set) or _authority(request.add),
        )

    def then(self, other: HeaderChanges) -> HeaderChanges:
        """Both, these first."""
        return HeaderChanges(
            self.request_add + other.request_add,
            self.request_remove + other.request_remove,
            self.response_add + other.response_add,
            self.response_remove + other.response_remove,
            self.authority or other.authority,
        )

    def fields(self) -> Message:
        """The fields of a route (or of a weighted cluster) that carry them."""
        fields = {
            "request_headers_to_add": list(self.request_add),
            "request_headers_to_remove": list(self.request_remove),
            "response_headers_to_add": list(self.response_add),
            "response_headers_to_remove": list(self.response_remove),
        }
        return {name: value for name, value in fields.items() if value}


def _is_authority(name: str) -> bool:
    return name.lower() in {":authority", "host"}


def _is_internal(name: str) -> bool:
    return name.startswith(":") or name.lower() == "host"


def _authority(headers: Mapping[str, str]) -> str:
    return next((value for name, value in headers.items() if _is_authority(name)), "")


def _ordinary(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if not _is_internal(name))


def _options(headers: Mapping[str, str], action: str) -> list[Message]:
    return [
        {"header": {"key": name, "value": value}, "append_action": action}
        for name, value in sorted(headers.items())
        if not _is_internal(name)
    ]
