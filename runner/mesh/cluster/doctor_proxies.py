"""Asking the sidecars, and Prometheus, what they are and what they keep."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from runner.errors import MeshError
from runner.mesh.cluster.admin import Fleet
from runner.mesh.cluster.doctor_facts import PrometheusFacts, ProxyFacts, Unknown
from runner.mesh.cluster.dump import parse_dump
from runner.mesh.cluster.prometheus import ClusterPrometheus
from runner.mesh.cluster.stat_names import patterns_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from runner.mesh.cluster.admin import ProxyAdmin
    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.pods import Pod

_BOOTSTRAP = "/config_dump?mask=bootstrap.stats_config,bootstrap.node"
_LISTENERS = "/config_dump?mask=dynamic_listeners"
_HCM = "envoy.filters.network.http_connection_manager"
_QUERY = "/api/v1/query?" + urlencode({"query": "count(istio_requests_total)"})


def read_proxies(api: Api, pods: Iterable[Pod]) -> tuple[tuple[ProxyFacts, ...], dict[str, str]]:
    """What the sidecars of ready pods say of themselves, one for each workload and revision; and why others say nothing."""
    one_each = {(pod.workload, pod.revision): pod for pod in pods if pod.proxied and pod.ready}
    by_name = {pod.name: pod for pod in one_each.values()}
    if not by_name:
        return (), {}
    fleet = Fleet(api, by_name)
    try:
        answers = fleet.each(_ask)
        return tuple(answers.values()), dict(fleet.silent)
    finally:
        fleet.close()


def _ask(client: ProxyAdmin) -> ProxyFacts:
    """One sidecar.

    Raises:
        MeshError: it does not answer, or with something else.
    """
    try:
        bootstrap = bootstrap_of(client.get(_BOOTSTRAP))
        logs = writes_log(client.get(_LISTENERS))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MeshError(f"its config dump can't be understood ({type(error).__name__}: {error})") from None
    metadata = (bootstrap.get("node") or {}).get("metadata") or {}
    return ProxyFacts(client.pod, str(metadata.get("ISTIO_VERSION") or ""), patterns_of(bootstrap), logs)


def bootstrap_of(text: str) -> dict[str, Any]:
    """The bootstrap in a `/config_dump` answer; empty without one.

    Raises:
        ValueError: it is no such answer.
    """
    for part in json.loads(text).get("configs") or []:
        if "bootstrap" in part:
            return dict(part["bootstrap"])
    return {}


def writes_log(text: str) -> bool:
    """Whether some HTTP connection manager of a `/config_dump` answer writes an access log to a file (its container's output).

    Raises:
        ValueError: it is no such answer.
    """
    return any(
        (logger.get("typed_config") or {}).get("path", "").startswith("/dev/std")
        for manager in _managers(parse_dump(text).listeners)
        for logger in manager.get("access_log") or []
    )


def _managers(listeners: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for listener in listeners.values():
        chains = [*(listener.get("filter_chains") or []), listener.get("default_filter_chain") or {}]
        for chain in chains:
            for item in chain.get("filters") or []:
                if item.get("name") == _HCM:
                    yield item.get("typed_config") or {}


def read_prometheus(api: Api, url: str | None = None) -> PrometheusFacts | Unknown:
    """The Prometheus that a run would ask: at a URL (of the experiment, or `$MESHTRIAL_PROMETHEUS`), else in the usual namespaces."""
    prometheus = ClusterPrometheus(api, url)
    try:
        series = series_of(prometheus.get(_QUERY))
        return PrometheusFacts(prometheus.name, series)
    except MeshError as error:
        return Unknown(error.what)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return Unknown(f"Prometheus at {prometheus.name} does not answer: {type(error).__name__}: {error}")
    finally:
        prometheus.close()


def series_of(text: str) -> int:
    """The number in an instant query's answer; 0 when there is no series.

    Raises:
        ValueError, KeyError, TypeError, IndexError: it is no such answer.
    """
    result = json.loads(text)["data"]["result"]
    return int(float(result[0]["value"][1])) if result else 0
