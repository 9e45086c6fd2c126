"""What an Envoy starts with: who it is, where its admin interface listens, and which files it watches for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.mesh.local.topology import ADMIN_PORT
from runner.mesh.local.translate import names
from runner.mesh.local.translate.model import extension, socket_address

if TYPE_CHECKING:
    from pathlib import Path

    from runner.mesh.local.topology import Pod
    from runner.mesh.local.translate.model import Message, ProxyPaths

_NO_LIMIT = 2**31 - 1

_RUNTIME = {
    "re2.max_program_size.error_level": 32768,
    "envoy.reloadable_features.http_reject_path_with_fragment": False,
    "envoy.reloadable_features.coalesce_lb_rebuilds_on_batch_update": False,
}
"""istio-proxy's runtime flags (`pkg/bootstrap`), less those for features that no embedded proxy has."""

_STATS_TAGS = {
    "cluster_name": r"^cluster\.(([^;]+);\.)",
    "http_conn_manager_prefix": r"^http\.(([^;]+);\.)",
    "listener_address": r"^listener\.((\d+\.\d+\.\d+\.\d+_\d+)\.)",
    "response_code": r"_rq(_(\d{3}))$",
    "response_code_class": r"_rq(_(\dxx))$",
}
"""How Prometheus labels are cut out of names with istiod's `;` (the text form of the stats keeps names whole).

A `^word\\.` at the beginning lets Envoy try a pattern on such names only, and `[^;]` spares it from going back: with
`^cluster(\\.(.+);)` these patterns were a tenth to a fifth of the time that eight Envoys need to start.
"""


def bootstrap(pod: Pod, paths: ProxyPaths) -> dict[str, Any]:
    """The bootstrap of a pod's Envoy, to be written as JSON (Envoy's YAML reads a bare `y` as true)."""
    return {
        "node": {
            "id": names.node_id(pod),
            "cluster": names.node_cluster(pod),
            "metadata": {
                "NAME": pod.name,
                "NAMESPACE": pod.namespace,
                "WORKLOAD_NAME": pod.workload,
                "LABELS": dict(pod.labels),
                "SERVICE_ACCOUNT": pod.service_account,
                "INSTANCE_IPS": pod.address,
                "INTERCEPTION_MODE": "NONE",
                "CLUSTER_ID": "Kubernetes",
            },
        },
        "admin": {"address": socket_address(pod.outbound, ADMIN_PORT)},
        "dynamic_resources": {
            "cds_config": _watch(paths.cds, paths.directory),
            "lds_config": _watch(paths.lds, paths.directory),
        },
        # Counters are exact at any time; this has the histograms merged when somebody reads, not every five seconds.
        "stats_flush_on_admin": True,
        "stats_config": {
            "use_all_default_tags": False,
            "stats_tags": [{"tag_name": name, "regex": regex} for name, regex in _STATS_TAGS.items()],
        },
        "layered_runtime": {
            "layers": [
                {"name": "global config", "static_layer": _RUNTIME},
                {"name": "admin", "admin_layer": {}},
            ]
        },
        "overload_manager": {
            "resource_monitors": [
                extension(
                    "envoy.resource_monitors.global_downstream_max_connections",
                    "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    max_active_downstream_connections=_NO_LIMIT,
                )
            ]
        },
    }


def _watch(path: Path, directory: Path) -> Message:
    return {
        "path_config_source": {"path": str(path), "watched_directory": {"path": str(directory)}},
        "resource_api_version": "V3",
        "initial_fetch_timeout": "0s",
    }
