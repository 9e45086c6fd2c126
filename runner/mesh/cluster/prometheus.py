"""A cluster's Prometheus: at the URL that the user names, else found where Istio's addon or an operator puts it, by port-forward.

Nothing is asked before a query is: a cluster without Prometheus costs a run nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runner.errors import MeshError
from runner.mesh.cluster.admin import HttpOverPod
from runner.mesh.cluster.api import segment
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.permissions import ISTIO_NAMESPACE
from runner.mesh.cluster.pods import list_pods
from runner.mesh.telemetry import URL_VARIABLE, PrometheusUrl

if TYPE_CHECKING:
    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.pods import Pod

PORT = 9090
"""Prometheus' own; a container port called http, web or http-web is taken instead where there is one."""

NAMESPACES = (ISTIO_NAMESPACE, "monitoring", "prometheus")
"""Where Istio's addon, kube-prometheus and the community's chart put it."""

_LABELS = ({"app.kubernetes.io/name": "prometheus"}, {"app": "prometheus"})
_PORT_NAMES = ("http", "web", "http-web")
_QUERY_ERRORS = frozenset({400, 422, 503})


class ClusterPrometheus:
    """A cluster's Prometheus, looked for when it is first asked.

    Args:
        api: the cluster.
        url: where the experiment says it is; `$MESHTRIAL_PROMETHEUS` stands in for it.
    """

    def __init__(self, api: Api, url: str | None = None) -> None:
        given = url or os.environ.get(URL_VARIABLE)
        self._api = api
        self._url = PrometheusUrl(given) if given else None
        self._way: HttpOverPod | None = None
        self.name = self._url.name if self._url else ""

    def get(self, path: str) -> str:
        """The body of `GET path`, also one that says what is wrong with a query.

        Raises:
            MeshError: there is no Prometheus, or it does not answer; the reason.
        """
        if self._url is not None:
            return self._url.get(path)
        if self._way is None:
            pod = find_prometheus(self._api)
            port = next((pod.ports[name] for name in _PORT_NAMES if name in pod.ports), PORT)
            self.name = f"{pod.namespace}/{pod.name}:{port}"
            self._way = HttpOverPod(self._api, pod.namespace, pod.name, port)
        try:
            return self._way.get(path)
        except StatusError as error:
            if error.code in _QUERY_ERRORS:
                return error.message
            raise MeshError(f"Prometheus at {self.name} refused: {error.message}") from None
        except MeshError as error:
            self.close()  # its pod may be another one now
            raise MeshError(f"Prometheus at {self.name} does not answer: {error.what}") from None

    def close(self) -> None:
        """Close the connection."""
        if self._way is not None:
            self._way.close()
        self._way = None


def find_prometheus(api: Api) -> Pod:
    """A ready pod of Prometheus in one of `NAMESPACES`: by its labels, or behind a Service of that name.

    Raises:
        MeshError: there is none, or we may not look; says where it was looked for.
    """
    hidden = []
    for namespace in NAMESPACES:
        try:
            pod = _find(api, namespace)
        except StatusError as error:
            if not error.forbidden:
                raise
            hidden.append(namespace)
            continue
        if pod is not None:
            return pod
    where = f"there is no Prometheus in {', '.join(NAMESPACES)}"
    where += f" (not allowed to look into {', '.join(hidden)})" if hidden else ""
    raise MeshError(f"{where}, and {URL_VARIABLE} names none")


def _find(api: Api, namespace: str) -> Pod | None:
    for labels in (*_LABELS, _selector(api, namespace)):
        for pod in list_pods(api, namespace, labels) if labels else ():
            if pod.ready:
                return pod
    return None


def _selector(api: Api, namespace: str) -> dict[str, str]:
    """What a Service called `prometheus` selects; empty without one."""
    try:
        service = api.get(f"/api/v1/namespaces/{segment(namespace)}/services/prometheus")
    except StatusError:
        return {}
    return dict(service["spec"].get("selector") or {})
