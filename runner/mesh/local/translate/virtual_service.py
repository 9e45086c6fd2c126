"""VirtualService, HTTP part: the Envoy routes that its rules become for one proxy and one port.

Rules that can never match here (other gateways, ports, source labels or namespaces) are left out, as istiod does, so
that what an Envoy holds is what it uses. Defaults are istiod's (`pilot/pkg/networking/core/route`): no timeout, two
retries of what never reached the application.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.istio.hosts import MESH_GATEWAY, full_gateway, full_host
from runner.istio.virtual_service import GRPC_STATUS
from runner.mesh.local.translate import names
from runner.mesh.local.translate.destination_rule import hash_for_destination, hash_policies
from runner.mesh.local.translate.headers import HeaderChanges
from runner.mesh.local.translate.model import Message, any_message, duration
from runner.mesh.local.translate.registry import has_labels
from runner.mesh.local.translate.retry import retry_policy
from runner.mesh.local.translate.route_match import is_catch_all, route_match

if TYPE_CHECKING:
    from runner.istio.virtual_service import (
        Destination,
        HTTPDirectResponse,
        HTTPFaultInjection,
        HTTPMatchRequest,
        HTTPRedirect,
        HTTPRewrite,
        HTTPRoute,
        HTTPRouteDestination,
        VirtualService,
    )
    from runner.mesh.local.topology import Pod
    from runner.mesh.local.translate.registry import Bound, Registry

FAULT_FILTER = "envoy.filters.http.fault"
_FAULT = "envoy.extensions.filters.http.fault.v3.HTTPFault"
_DEFAULT_PORT = {"http": 80, "https": 443}
_REDIRECTS = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}


@dataclass(frozen=True, slots=True)
class RouteContext:
    """Where routes are for.

    Attributes:
        registry: the mesh.
        pod: the proxy's pod.
        port: the port as Istio's config names it (a service's, or a Gateway server's).
        listen_port: the port that clients connect to.
        gateway: `mesh`, or the Gateway's `namespace/name`.
    """

    registry: Registry
    pod: Pod
    port: int
    listen_port: int
    gateway: str = MESH_GATEWAY


def http_routes(service: Bound[VirtualService], context: RouteContext) -> list[Message]:
    """The routes of a VirtualService, in order; empty when none of its rules is for this proxy."""
    routes: list[Message] = []
    for rule in service.spec.http:
        matches: list[HTTPMatchRequest | None] = [*rule.match] or [None]
        for match in matches:
            if not _applies(match, service.namespace, context):
                continue
            routes.append(_route(service, rule, match, context))
            if is_catch_all(routes[-1]):
                return routes
    return routes


def _applies(match: HTTPMatchRequest | None, namespace: str, context: RouteContext) -> bool:
    if match is None:
        return True
    if match.port is not None and match.port != context.port:
        return False
    if match.gateways:
        return context.gateway in {full_gateway(name, namespace) for name in match.gateways}
    if not has_labels(context.pod.labels, match.source_labels):
        return False
    return match.source_namespace in (None, "", context.pod.namespace)


def _route(
    service: Bound[VirtualService], rule: HTTPRoute, match: HTTPMatchRequest | None, context: RouteContext
) -> Message:
    route: Message = {"match": route_match(match)}
    # istiod joins the two names with a dot even where the rule has none.
    name = f"{rule.name or ''}.{match.name}" if match and match.name else rule.name
    if name:
        route["name"] = name
    route["metadata"] = {"filter_metadata": {names.METADATA: {"config": names.config_path(service.resource)}}}
    changes = HeaderChanges.of(rule.headers)
    if rule.redirect is not None:
        route["redirect"] = _redirect(rule.redirect, context)
    elif rule.direct_response is not None:
        route["direct_response"] = _direct_response(rule.direct_response)
    else:
        changes = _forward(route, service, rule, changes, context)
    route.update(changes.fields())
    if rule.fault is not None:
        route["typed_per_filter_config"] = {FAULT_FILTER: _fault(rule.fault)}
    return route


def _forward(
    route: Message, service: Bound[VirtualService], rule: HTTPRoute, changes: HeaderChanges, context: RouteContext
) -> HeaderChanges:
    """Fill in a route's action and give back the header changes of the whole route."""
    timeout = duration(rule.timeout or 0)
    action: Message = {"timeout": timeout, "max_grpc_timeout": timeout}
    route["route"] = action
    authority = changes.authority
    if rule.rewrite is not None:
        action.update(_rewrite(rule.rewrite))
        authority = rule.rewrite.authority or authority
    mirrors = [
        _mirror(destination_cluster(mirror.destination, service.namespace, context), mirror.effective_percent)
        for mirror in rule.all_mirrors()
        if mirror.effective_percent > 0
    ]
    if mirrors:
        action["request_mirror_policies"] = mirrors
    hashed = [destination for destination in rule.route if destination.weight or len(rule.route) == 1]
    hashes = [
        hash_for_destination(
            context.registry.rule(full_host(item.destination.host, service.namespace), context.pod.namespace),
            item.destination,
        )
        for item in hashed
    ]
    single = len(rule.route) == 1
    if single:
        only = rule.route[0]
        action["cluster"] = destination_cluster(only.destination, service.namespace, context)
        own = HeaderChanges.of(only.headers)
        changes = changes.then(own)
        authority = authority or own.authority
    else:
        action["weighted_clusters"] = {"clusters": [_weighted(item, service.namespace, context) for item in hashed]}
    if authority:
        action["host_rewrite_literal"] = authority
    policies = hash_policies(hashes)
    if policies:
        action["hash_policy"] = policies
    retries = retry_policy(rule.retries, sticky=single and any(hashes))
    if retries is not None:
        action["retry_policy"] = retries
    return changes


def _weighted(item: HTTPRouteDestination, namespace: str, context: RouteContext) -> Message:
    changes = HeaderChanges.of(item.headers)
    weighted = {
        "name": destination_cluster(item.destination, namespace, context),
        "weight": item.weight,
        **changes.fields(),
    }
    if changes.authority:
        weighted["host_rewrite_literal"] = changes.authority
    return weighted


def destination_cluster(destination: Destination, namespace: str, context: RouteContext) -> str:
    """The cluster that a destination means.

    It need not exist: Envoy answers 503 with the flag `NC` for a subset or host that nobody defined, as in Istio.
    """
    host = full_host(destination.host, namespace)
    service = context.registry.services.get(host)
    port = context.port
    if destination.port is not None:
        port = destination.port.number
    elif service is not None and len(service.ports) == 1:
        port = service.ports[0].number
    return names.outbound_cluster(port, destination.subset, host)


def _rewrite(rewrite: HTTPRewrite) -> Message:
    if rewrite.uri_regex_rewrite is not None:
        regex = rewrite.uri_regex_rewrite
        return {"regex_rewrite": {"pattern": {"regex": regex.match}, "substitution": regex.rewrite}}
    return {"prefix_rewrite": rewrite.uri} if rewrite.uri else {}


def _mirror(cluster: str, percent: float) -> Message:
    return {
        "cluster": cluster,
        "runtime_fraction": {"default_value": _millionths(percent)},
        "trace_sampled": False,
        "disable_shadow_host_suffix_append": True,
    }


def _millionths(percent: float) -> Message:
    return {"numerator": round(percent * 10_000), "denominator": "MILLION"}


def _fault(fault: HTTPFaultInjection) -> Message:
    """The fault filter's settings for a route; a fault without a percentage never fires, in Istio and here."""
    settings: Message = {}
    if fault.delay is not None:
        settings["delay"] = {
            "fixed_delay": duration(fault.delay.fixed_delay),
            "percentage": _millionths(fault.delay.effective_percent or 0),
        }
    if fault.abort is not None:
        settings["abort"] = {"percentage": _millionths(fault.abort.effective_percent or 0)}
        if fault.abort.http_status is not None:
            settings["abort"]["http_status"] = fault.abort.http_status
        elif fault.abort.grpc_status is not None:
            status = fault.abort.grpc_status
            settings["abort"]["grpc_status"] = int(status) if status.isdecimal() else GRPC_STATUS.index(status)
    return any_message(_FAULT, **settings)


def _redirect(redirect: HTTPRedirect, context: RouteContext) -> Message:
    action: Message = {"response_code": _REDIRECTS[redirect.redirect_code]}
    if redirect.authority:
        action["host_redirect"] = redirect.authority
    if redirect.uri:
        action["path_redirect"] = redirect.uri
    if redirect.scheme:
        action["scheme_redirect"] = redirect.scheme
    port = redirect.port
    if redirect.derive_port == "FROM_REQUEST_PORT":
        port = context.listen_port
    if port and port != _DEFAULT_PORT[redirect.scheme or "http"]:
        action["port_redirect"] = port
    return action


def _direct_response(response: HTTPDirectResponse) -> Message:
    action: Message = {"status": response.status}
    if response.body is not None and response.body.string:
        action["body"] = {"inline_string": response.body.string}
    return action
