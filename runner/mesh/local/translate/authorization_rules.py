"""One rule of an AuthorizationPolicy as Envoy's RBAC policy: permissions (what is asked for) and principals (who asks).

Source: istio.io/istio, `pilot/pkg/security/authz/model` and `authz/matcher`; the order of the parts is istiod's too.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from runner.istio.authorization_values import HEADER, MATCH_ANY, MATCH_ONE, has_template
from runner.mesh.local.translate.model import Message, extension

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from runner.istio.authorization_policy import Condition, Operation, Rule, Source

    Matcher = Callable[[str], Message]

_SPIFFE = "spiffe://"
_TEMPLATE = "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig"
_ANYTHING = ".+"


def rbac_policy(rule: Rule, namespace: str) -> Message:
    """Envoy's `config.rbac.v3.Policy` for a rule.

    Args:
        rule: the rule.
        namespace: the policy's, which service accounts without a namespace are in.
    """
    operations: list[Operation | None] = [*rule.operations] or [None]
    sources: list[Source | None] = [*rule.sources] or [None]
    permissions = [_permission(operation, rule.when) for operation in operations]
    principals = [_principal(source, rule.when, namespace) for source in sources]
    return {"permissions": permissions, "principals": principals}


def _permission(operation: Operation | None, conditions: Sequence[Condition]) -> Message:
    parts: list[Message] = []
    if operation is not None:
        parts += _permissions(_host, operation.hosts, operation.not_hosts)
        parts += _permissions(partial(_header, ":method"), operation.methods, operation.not_methods)
        parts += _permissions(_path, operation.paths, operation.not_paths)
        parts += _permissions(_destination_port, operation.ports, operation.not_ports)
    for condition in conditions:
        if condition.key in _PERMISSIONS:
            parts += _permissions(_PERMISSIONS[condition.key], condition.values, condition.not_values)
    return {"and_rules": {"rules": parts or [{"any": True}]}}


def _principal(source: Source | None, conditions: Sequence[Condition], namespace: str) -> Message:
    account = partial(_service_account, namespace)
    parts: list[Message] = []
    if source is not None:
        parts += _principals(_identity, source.principals, source.not_principals)
        parts += _principals(account, source.service_accounts, source.not_service_accounts)
        parts += _principals(_trust_domain, source.trust_domains, source.not_trust_domains)
        parts += _principals(_namespace, source.namespaces, source.not_namespaces)
        parts += _principals(_remote_ip, source.remote_ip_blocks, source.not_remote_ip_blocks)
        parts += _principals(_direct_ip, source.ip_blocks, source.not_ip_blocks)
    for condition in conditions:
        if condition.key.startswith(HEADER):
            name = condition.key[len(HEADER) + 1 : -1]
            parts += _principals(partial(_header, name), condition.values, condition.not_values)
        elif condition.key == "source.serviceAccount":
            parts += _principals(account, condition.values, condition.not_values)
        elif condition.key in _PRINCIPALS:
            parts += _principals(_PRINCIPALS[condition.key], condition.values, condition.not_values)
    return {"and_ids": {"ids": parts or [{"any": True}]}}


def _permissions(matcher: Matcher, values: Sequence[str], not_values: Sequence[str]) -> Iterable[Message]:
    if values:
        yield {"or_rules": {"rules": [matcher(value) for value in values]}}
    if not_values:
        yield {"not_rule": {"or_rules": {"rules": [matcher(value) for value in not_values]}}}


def _principals(matcher: Matcher, values: Sequence[str], not_values: Sequence[str]) -> Iterable[Message]:
    if values:
        yield {"or_ids": {"ids": [matcher(value) for value in values]}}
    if not_values:
        yield {"not_id": {"or_ids": {"ids": [matcher(value) for value in not_values]}}}


def _text(value: str, *, ignore_case: bool = False) -> Message:
    """Exactly, `*suffix`, `prefix*`, or `*` for anything; a star elsewhere is a star."""
    if value == "*":
        return _regex(_ANYTHING)
    if value.startswith("*"):
        matcher: Message = {"suffix": value[1:]}
    elif value.endswith("*"):
        matcher = {"prefix": value[:-1]}
    else:
        matcher = {"exact": value}
    return {**matcher, "ignore_case": True} if ignore_case else matcher


def _regex(pattern: str) -> Message:
    return {"safe_regex": {"regex": pattern}}


def _header(name: str, value: str, *, ignore_case: bool = False) -> Message:
    matcher = {"present_match": True} if value == "*" else {"string_match": _text(value, ignore_case=ignore_case)}
    return {"header": {"name": name, **matcher}}


def _host(value: str) -> Message:
    return _header(":authority", value, ignore_case=True)


def _path(value: str) -> Message:
    if has_template(value):
        template = value.replace(MATCH_ONE, "*").replace(MATCH_ANY, "**")
        return {"uri_template": extension("uri-template", _TEMPLATE, path_template=template)}
    return {"url_path": {"path": _text(value)}}


def _destination_port(value: str) -> Message:
    return {"destination_port": int(value)}


def _destination_ip(value: str) -> Message:
    return {"destination_ip": _range(value)}


def _server_name(value: str) -> Message:
    return {"requested_server_name": _text(value)}


def _direct_ip(value: str) -> Message:
    return {"direct_remote_ip": _range(value)}


def _remote_ip(value: str) -> Message:
    return {"remote_ip": _range(value)}


def _range(value: str) -> Message:
    address, _, length = value.partition("/")
    whole = 128 if ":" in address else 32
    return {"address_prefix": address, "prefix_len": int(length) if length else whole}


def _authenticated(name: Message) -> Message:
    return {"authenticated": {"principal_name": name}}


def _identity(value: str) -> Message:
    if value == "*":
        return _authenticated(_regex(_ANYTHING))
    if value.startswith("*"):
        return _authenticated(_regex(f"{_SPIFFE}.*{_quoted(value[1:])}"))
    return _authenticated(_text(_SPIFFE + value))


def _namespace(value: str) -> Message:
    pattern = ".*".join(_quoted(part) for part in value.split("*"))
    return _authenticated(_regex(f".*/ns/{pattern}/.*"))


def _service_account(policy_namespace: str, value: str) -> Message:
    namespace, slash, name = value.partition("/")
    if not slash:
        namespace, name = policy_namespace, value
    return _authenticated(_regex(f"{_SPIFFE}.+/ns/{_quoted(namespace)}/(.+/|)sa/{_quoted(name)}(/.+)?"))


def _trust_domain(value: str) -> Message:
    if value == "*":
        return _authenticated({"prefix": _SPIFFE})
    if "*" not in value:
        return _authenticated({"prefix": f"{_SPIFFE}{value}/"})
    before, _, after = value.partition("*")
    return _authenticated(_regex(f"{_SPIFFE}{_quoted(before)}[^/]*{_quoted(after)}/.*"))


def _quoted(text: str) -> str:
    """Go's `regexp.QuoteMeta`, which is what istiod's regular expressions for RE2 are made with."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)


_PERMISSIONS: dict[str, Matcher] = {
    "destination.ip": _destination_ip,
    "destination.port": _destination_port,
    "connection.sni": _server_name,
}
_PRINCIPALS: dict[str, Matcher] = {
    "source.ip": _direct_ip,
    "remote.ip": _remote_ip,
    "source.namespace": _namespace,
    "source.principal": _identity,
    "source.trustDomain": _trust_domain,
}
