"""Match conditions of VirtualServices as Envoy's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.istio.fields import StringMatch
    from runner.istio.virtual_service import HTTPMatchRequest
    from runner.mesh.local.translate.model import Message


def route_match(match: HTTPMatchRequest | None) -> Message:
    """The match of a route; everything when there is no condition."""
    if match is None:
        return {"prefix": "/"}
    result: Message = _path(match.uri)
    result["case_sensitive"] = not match.ignore_uri_case
    headers = [_value(name, value) for name, value in match.headers.items()]
    headers += [_without_header(name, value) for name, value in match.without_headers.items()]
    headers.sort(key=lambda header: str(header["name"]))
    for name, pseudo in ((":method", match.method), (":authority", match.authority), (":scheme", match.scheme)):
        if pseudo is not None:
            headers.append(_value(name, pseudo))
    if headers:
        result["headers"] = headers
    if match.query_params:
        result["query_parameters"] = [_value(name, value) for name, value in match.query_params.items()]
    return result


def is_catch_all(route: Message) -> bool:
    """Whether no request gets past this route, so that routes after it can be left out (or must come last)."""
    match = route["match"]
    anything = match.get("prefix") == "/" or match.get("safe_regex", {}).get("regex") == ".*"
    return anything and not match.get("headers") and not match.get("query_parameters")


def _path(uri: StringMatch | None) -> Message:
    if uri is None:
        return {"prefix": "/"}
    if uri.exact is not None:
        return {"path": uri.exact}
    if uri.prefix is not None:
        return {"prefix": uri.prefix}
    return {"safe_regex": {"regex": uri.regex}}


def _value(name: str, match: StringMatch) -> Message:
    if match.presence_only:
        return {"name": name, "present_match": True}
    if match.exact is not None:
        text: Message = {"exact": match.exact}
    elif match.prefix is not None:
        text = {"prefix": match.prefix}
    else:
        text = {"safe_regex": {"regex": match.regex}}
    return {"name": name, "string_match": text}


def _without_header(name: str, match: StringMatch) -> Message:
    header = {**_value(name, match), "invert_match": True}
    if not match.presence_only:
        header["treat_missing_header_as_empty"] = True
    return header
