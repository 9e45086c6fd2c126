"""What all models of Istio resources share: strict keys in Istio's spelling, and its field types.

A key that Istio knows and the embedded mesh does not translate is told apart from one that nobody knows: each model
names the rest of Istio's fields in `unsupported`, and `runner.istio.scan` turns both into problems with their places.
The former are the embedded mesh's problems alone: a cluster can hold what this program's models can't.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from runner.units import parse_duration

if TYPE_CHECKING:
    from runner.errors import Problem

NOT_SUPPORTED = "that the embedded mesh does not support yet"
"""Words that every message has which is about what the embedded mesh can't do, though Istio can."""


def is_unsupported(problem: Problem) -> bool:
    """Whether a problem is one of the embedded mesh alone, so that a cluster may hold what it is about."""
    return NOT_SUPPORTED in problem.message


class IstioModel(BaseModel):
    """Base of every part of an Istio resource.

    Types are as strict as the CRD's schema: a number in quotes is text, and text is no number.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True, alias_generator=to_camel, strict=True)

    unsupported: ClassVar[frozenset[str]] = frozenset()
    """Fields of Istio's, as users write them, that are refused with their own message."""
    also_spelled: ClassVar[frozenset[str]] = frozenset()
    """Second spellings that Istio's CRD takes; each is the Python name of its field."""


def _duration(value: Any) -> float:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a duration such as 0.5s, 10ms or 1m30s, with its unit")  # noqa: TRY004 - pydantic
    return parse_duration(value)


def _at_least_a_millisecond(seconds: float) -> float:
    if seconds < 0.001:  # noqa: PLR2004 - the CRD's rule
        raise ValueError("must be at least 1ms")
    milliseconds = seconds * 1000
    if abs(milliseconds - round(milliseconds)) > 1e-6:  # noqa: PLR2004 - what floats leave of a whole number
        raise ValueError("must be a whole number of milliseconds")
    return seconds


AnyDuration = Annotated[float, BeforeValidator(_duration)]
"""Seconds, from a Go duration; zero is allowed (a session cookie's `ttl`)."""

Duration = Annotated[float, BeforeValidator(_duration), AfterValidator(_at_least_a_millisecond)]
"""Seconds, from a Go duration of at least 1 ms and whole milliseconds, as Istio's validation demands."""

NonNegative = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""A count in one of Istio's int32 fields."""

UInt32 = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""A number in one of Istio's uint32 fields."""

WholePercent = Annotated[int, Field(ge=0, le=100)]
"""A percentage from 0 to 100 without fractions."""

PortNumber = Annotated[int, Field(ge=1, le=65535)]
"""A TCP port."""

Labels = dict[str, str]
"""Kubernetes labels."""


def _label_name(value: str) -> str:
    if len(value) > 63 or not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", value):  # noqa: PLR2004 - RFC 1123
        raise ValueError(f"{value!r} must be lower-case letters, digits and '-', at most 63 (a DNS label)")
    return value


DnsLabel = Annotated[str, AfterValidator(_label_name)]
"""A DNS label (RFC 1123), as subset names are."""


def _host(value: str) -> str:
    if not re.fullmatch(r"\*|(\*\.)?[A-Za-z0-9_]([-A-Za-z0-9_.]*[A-Za-z0-9_])?\.?", value) or ".." in value:
        raise ValueError(f"{value!r} is not a host name such as reviews or reviews.default.svc.cluster.local")
    return value


Host = Annotated[str, AfterValidator(_host)]
"""A short or full host name; wildcards only as `*` or a leading `*.`."""


def _plain_host(value: str) -> str:
    if "*" in value:
        raise ValueError(f"{value!r} names many hosts; a destination is one host")
    return value


DestinationHost = Annotated[Host, AfterValidator(_plain_host)]
"""The host name of a destination, without wildcards."""

_BROKEN_IN_EVERY_DIALECT = ("missing )", "unbalanced parenthesis", "unterminated character set", "bad escape (end")


def _regex(value: str) -> str:
    if re.search(r"(?<!\\)(?:\\\\)*\(\?<?[=!]", value):
        raise ValueError(f"{value!r} looks ahead or behind, which RE2 (Envoy's regular expressions) has not")
    if re.search(r"(?<!\\)(?:\\\\)*\\[1-9]", value):
        raise ValueError(f"{value!r} refers back to a group, which RE2 (Envoy's regular expressions) has not")
    if r"\Q" in value:
        return value
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        # Python's dialect is not RE2's: only what is broken in both is refused here, the rest is Envoy's to say.
        if str(error).startswith(_BROKEN_IN_EVERY_DIALECT):
            raise ValueError(f"{value!r} is not a regular expression: {error}") from None
    return value


Regex = Annotated[str, AfterValidator(_regex)]
"""A regular expression; refused when it surely is none of RE2's."""


class Percent(IstioModel):
    """`percentage: {value: 12.5}`: from 0 to 100, in steps of 0.0001 (Envoy counts in millionths)."""

    value: float = Field(default=0.0, ge=0, le=100, allow_inf_nan=False)

    @model_validator(mode="after")
    def _no_less_than_envoy_counts(self) -> Percent:
        if 0 < self.value < 0.0001:  # noqa: PLR2004 - Istio's own bound
            raise ValueError("a percentage between 0 and 0.0001 is less than Envoy can count")
        return self


class StringMatch(IstioModel):
    """At most one of exact, prefix and regex.

    Where it may be empty (headers, query parameters), nothing or the regex `*` asks for presence alone.
    """

    exact: str | None = None
    prefix: str | None = None
    regex: Regex | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> StringMatch:
        if sum(part is not None for part in (self.exact, self.prefix, self.regex)) > 1:
            raise ValueError("takes exactly one of exact, prefix and regex")
        return self

    @property
    def presence_only(self) -> bool:
        """Whether any value will do (as istiod decides it)."""
        return (self.exact is None and self.prefix is None and self.regex is None) or self.regex == "*"


def _not_empty(match: StringMatch) -> StringMatch:
    if match.exact is None and match.prefix is None and match.regex is None:
        raise ValueError("takes exactly one of exact, prefix and regex")
    return match


FullStringMatch = Annotated[StringMatch, AfterValidator(_not_empty)]
"""Exactly one of exact, prefix and regex."""


class PortSelector(IstioModel):
    """`port: {number: 9080}`."""

    number: PortNumber


def everywhere_or_here(value: list[str]) -> list[str]:
    """Refuse `exportTo` lists that need several namespaces.

    Raises:
        ValueError: it is neither `["*"]` nor `["."]`.
    """
    if value not in (["*"], ["."], []):
        raise ValueError(f'exportTo other than ["*"] and ["."] is a setting of Istio\'s {NOT_SUPPORTED}')
    return value


ExportTo = Annotated[list[str], AfterValidator(everywhere_or_here)]
"""`["*"]` or `["."]`."""
