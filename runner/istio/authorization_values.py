"""The values in AuthorizationPolicies: what each field and each condition takes, as istiod's validation has it.

Source: istio.io/istio, `pkg/config/security/security.go` and `ValidateAuthorizationPolicy`.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from runner.istio.fields import NOT_SUPPORTED
from runner.yamlfile.problems import suggest

MATCH_ONE = "{*}"
"""In a path: any one segment."""
MATCH_ANY = "{**}"
"""In a path: any number of segments."""
_LITERAL = re.compile(r"[a-zA-Z0-9\-._~%!$&'()+,;:@=]+")
"""What a segment may be beside templates (RFC 3986's pchar, as Envoy's URI templates take it)."""

_LONGEST_ACCOUNT = 320
MOST_ACCOUNTS = 16
"""Values of one list of service accounts."""

DRY_RUN = "istio.io/dry-run"
"""The annotation that has a policy counted and logged, and not enforced."""
HEADER = "request.headers"
CONDITIONS = (
    HEADER + "[NAME]",
    "source.ip",
    "remote.ip",
    "source.namespace",
    "source.principal",
    "source.serviceAccount",
    "source.trustDomain",
    "destination.ip",
    "destination.port",
    "connection.sni",
)
"""Keys of conditions that the embedded mesh translates."""
_OTHER_CONDITIONS = (
    "request.auth.principal",
    "request.auth.audiences",
    "request.auth.presenter",
    "request.auth.claims",
    "experimental.envoy.filters.",
)
_REPLACED = {
    "destination.namespace": "the policy's own namespace says it",
    "destination.labels": "the policy's selector says it",
    "destination.name": "the policy's selector says it",
    "destination.user": "the policy's selector says it",
}


def _not_empty(value: str) -> str:
    if not value:
        raise ValueError("an empty value matches nothing, and Istio refuses it")
    return value


def _port_text(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f'{value} is a number, where Istio wants text: "{value}"')  # noqa: TRY004 - pydantic
    return value


def _port(value: str) -> str:
    if not re.fullmatch(r"[0-9]+", value) or int(value) > 65535:  # noqa: PLR2004 - TCP ports
        raise ValueError(f"{value!r} is not a port from 0 to 65535")
    return value


def _addresses(value: str) -> str:
    address, slash, length = value.partition("/")
    try:
        network = ipaddress.ip_address(address)
    except ValueError:
        raise ValueError(f"{value!r} is neither an IP address nor a range such as 10.1.0.0/16") from None
    if slash and not (re.fullmatch(r"0|[1-9][0-9]*", length) and int(length) <= network.max_prefixlen):
        raise ValueError(f"{value!r} is no range of addresses: the length goes from 0 to {network.max_prefixlen}")
    return value


def _service_account(value: str) -> str:
    namespace, slash, name = value.rpartition("/")
    if "*" in value:
        raise ValueError(f"{value!r} has a wildcard, which service accounts do not take; principals do")
    if not name or (slash and not namespace) or "/" in namespace or len(value) > _LONGEST_ACCOUNT:
        raise ValueError(f"{value!r} is no service account such as NAME or NAMESPACE/NAME")
    return value


def _trust_domain(value: str) -> str:
    if "/" in value:
        raise ValueError(f"{value!r} is no trust domain such as cluster.local")
    if value.count("*") > 1 or "*" in value[1:-1]:
        raise ValueError(f"{value!r}: one wildcard, at the start or the end")
    return value


def has_template(path: str) -> bool:
    """Whether a path is matched segment by segment (`/a/{*}/b`), not as text."""
    return MATCH_ONE in path or MATCH_ANY in path


def _path(value: str) -> str:
    template = has_template(value)
    any_seen = False
    for segment in value.strip("/").split("/"):
        if segment in (MATCH_ONE, MATCH_ANY):
            if any_seen:
                raise ValueError(f"{value!r}: {MATCH_ANY} must be the last of a path's templates")
            any_seen = segment == MATCH_ANY
        elif "{" in segment or "}" in segment:
            raise ValueError(f"{value!r}: braces stand for {MATCH_ONE} and {MATCH_ANY} only, each a whole segment")
        elif template and not _LITERAL.fullmatch(segment):
            raise ValueError(f"{value!r}: beside templates a segment can't be {segment!r}")
    return value


def _condition_key(value: str) -> str:
    name, bracket, _ = value.partition("[")
    if name == HEADER:
        if not re.fullmatch(r"request\.headers\[.+\]", value):
            raise ValueError(f"{value!r} names no header; it is written {HEADER}[NAME]")
        return value
    if value in CONDITIONS:
        return value
    if value.startswith(_OTHER_CONDITIONS):
        raise ValueError(f"{value!r} is a condition of Istio's {NOT_SUPPORTED}")
    if name in _REPLACED:
        raise ValueError(f"{value!r} is no condition of Istio's any more: {_REPLACED[name]}")
    known = [*(key.partition("[")[0] if bracket else key for key in CONDITIONS), *_OTHER_CONDITIONS]
    hint = suggest(name if bracket else value, known)
    raise ValueError(f"{value!r} is no condition; one of {', '.join(CONDITIONS)}" + (f". {hint}" if hint else ""))


Value = Annotated[str, AfterValidator(_not_empty)]
"""Text that is matched exactly, as `prefix*`, as `*suffix`, or by being there (`*`)."""
PortText = Annotated[str, BeforeValidator(_port_text), AfterValidator(_port)]
"""A port in quotes, as Istio's schema has it."""
Addresses = Annotated[str, AfterValidator(_addresses)]
"""An IP address or a range of them."""
ServiceAccountName = Annotated[str, AfterValidator(_service_account)]
"""`NAME` (in the policy's namespace) or `NAMESPACE/NAME`."""
TrustDomain = Annotated[Value, AfterValidator(_trust_domain)]
"""Such as `cluster.local`, or with one wildcard at an end."""
Path = Annotated[Value, AfterValidator(_path)]
"""A value, or a template with `{*}` and `{**}`."""
ConditionKey = Annotated[str, AfterValidator(_condition_key)]
"""One of `CONDITIONS`."""

CHECKS = {
    "source.ip": _addresses,
    "remote.ip": _addresses,
    "destination.ip": _addresses,
    "destination.port": _port,
    "source.serviceAccount": _service_account,
    "source.trustDomain": _trust_domain,
}
"""By condition, what is wrong with a value; others take any text."""
