"""What the keys of an experiment file may hold: durations, rates, whole numbers, URLs, each with its form in the JSON Schema.

Durations are seconds, rates requests per second, shares 0 to 1.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator, WithJsonSchema

from runner.units import parse_duration, parse_rate


class SpecModel(BaseModel):
    """Base of everything a user writes: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


def _duration(value: Any) -> float:
    if isinstance(value, str):
        return parse_duration(value)
    raise ValueError(f"{value!r} needs a unit: a duration such as 500ms, 2s or 3m")


def _rate(value: Any) -> float:
    if isinstance(value, str):
        return parse_rate(value)
    raise ValueError(f"{value!r} needs a unit: a rate such as 20/s or 600/m")


def _qps(value: Any) -> Any:
    if isinstance(value, str):
        return parse_rate(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number of requests per second")  # noqa: TRY004 - pydantic gathers ValueErrors
    if not value >= 0:
        raise ValueError(f"{value} is not 0 or more; 0 is as fast as the connections can")
    return value


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError("must be more than zero")
    return value


def _finite(value: float) -> float:
    if value == float("inf"):
        raise ValueError("is too large")
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is not a whole number")  # noqa: TRY004 - pydantic gathers ValueErrors
    if value < 1:
        raise ValueError(f"{value} is less than 1")
    return value


def _port(value: Any) -> Any:
    if _whole(value) > 65535:  # noqa: PLR2004 - the largest there is
        raise ValueError(f"{value} is no port: the largest is 65535")
    return value


def _workers(value: Any) -> Any:
    if isinstance(value, str):
        if value != "external":
            raise ValueError(f"{value!r} is neither a whole number nor external")
        return value
    return _whole(value)


def _users(value: Any) -> Any:
    if isinstance(value, str):
        if value != "shape":
            raise ValueError(f"{value!r} is neither a whole number nor shape")
        return value
    return _whole(value)


def _text(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        raise ValueError(f'{value!r} is not text; quote it: "{value}"')  # noqa: TRY004 - pydantic gathers ValueErrors
    return value


def _manifest(value: Any) -> Path | dict[str, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, str | Path) and str(value):
        return Path(value)
    raise ValueError(f"{value!r} is neither a manifest file nor a resource")


def _http_url(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        parts = urlsplit(value)
        whole = bool(re.fullmatch(r"https?://[^\s/?#]+\S*", value) and parts.hostname and parts.port != 0)
    except ValueError:  # a port that is none, brackets without an address
        whole = False
    if not whole:
        raise ValueError(f"{value!r} is not a URL such as https://shop.example.org/")
    if parts.query or parts.fragment:
        raise ValueError(
            f"{value!r} has a {'query' if parts.query else 'fragment'}, which belongs to the loadfile's requests"
        )
    return value


_DURATION_TEXT = {
    "type": "string",
    "pattern": r"^\s*((\d+(\.\d+)?|\.\d+)(ns|us|µs|ms|s|m|h))+\s*$",
    "examples": ["500ms", "2s", "3m"],
}
_RATE_TEXT = {"type": "string", "pattern": r"^\s*(\d+(\.\d+)?|\.\d+)\s*/\s*(s|m|h)\s*$", "examples": ["20/s", "600/m"]}
_MANIFEST_SCHEMA = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "object"}]}

Duration = Annotated[float, BeforeValidator(lambda value: _finite(_duration(value))), WithJsonSchema(_DURATION_TEXT)]
PositiveDuration = Annotated[
    float, BeforeValidator(lambda value: _positive(_finite(_duration(value)))), WithJsonSchema(_DURATION_TEXT)
]
Rate = Annotated[float, BeforeValidator(lambda value: _finite(_rate(value))), WithJsonSchema(_RATE_TEXT)]
PositiveRate = Annotated[
    float, BeforeValidator(lambda value: _positive(_finite(_rate(value)))), WithJsonSchema(_RATE_TEXT)
]
Qps = Annotated[
    float,
    BeforeValidator(lambda value: _finite(_qps(value))),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, _RATE_TEXT]}),
]
Whole = Annotated[int, BeforeValidator(_whole), WithJsonSchema({"type": "integer", "minimum": 1})]
Workers = Annotated[
    int | Literal["external"],
    PlainValidator(_workers),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "enum": ["external"]}]}),
]
Users = Annotated[
    int | Literal["shape"],
    PlainValidator(_users),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "enum": ["shape"]}]}),
]
Port = Annotated[
    int, BeforeValidator(_port), WithJsonSchema({"type": "integer", "minimum": 1, "examples": [5557, 15557]})
]
Text = Annotated[str, BeforeValidator(_text)]
HttpUrl = Annotated[str, BeforeValidator(_http_url), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
ManifestEntry = Annotated[Path | dict[str, Any], PlainValidator(_manifest), WithJsonSchema(_MANIFEST_SCHEMA)]
"""A manifest file, or a resource written where it is used."""
