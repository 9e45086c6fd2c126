"""What a proxy writes about every request: Istio's text access log, and Istio's standard metrics.

Stock Envoy has no `istio.stats` filter. Its stats access logger (`envoy.access_loggers.stats`) keeps counters and
histograms with tags of our choosing, under the very names that Istio's dashboards use: `istio_requests_total` and
`istio_request_duration_milliseconds`. A label whose value is not known is empty (Istio writes `unknown`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from runner.mesh.local.translate.model import Message, extension
from runner.mesh.local.translate.names import METADATA, PEER_STATE

if TYPE_CHECKING:
    from pathlib import Path

    from runner.mesh.local.topology import Pod

Reporter = Literal["source", "destination"]

TEXT_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    "%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
    '"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% '
    '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" '
    '"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% '
    "%DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)
"""Istio's default `accessLogFormat` (1.9 onwards)."""

REQUESTS = "istio_requests_total"
DURATION = "istio_request_duration_milliseconds"


def access_logs(pod: Pod, reporter: Reporter, protocol: str, path: Path) -> list[Message]:
    """The access loggers of an HTTP connection manager.

    Args:
        pod: the proxy's own pod.
        reporter: `source` for outbound listeners and gateways, `destination` for inbound ones.
        protocol: `http` or `grpc`, as the service port declares it.
        path: the file of the text log.
    """
    return [text_log(path), metrics(pod, reporter, protocol)]


def text_log(path: Path) -> Message:
    """Istio's text access log in a file."""
    return extension(
        "envoy.access_loggers.file",
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        path=str(path),
        log_format={"text_format_source": {"inline_string": TEXT_FORMAT}},
    )


def metrics(pod: Pod, reporter: Reporter, protocol: str) -> Message:
    """Istio's request counter and duration histogram, kept by Envoy itself."""
    stat_tags = [{"name": name, "value_format": value} for name, value in labels(pod, reporter, protocol).items()]
    return extension(
        "envoy.access_loggers.stats",
        "envoy.extensions.access_loggers.stats.v3.Config",
        stats_scope={"prefix": ""},
        counters=[{"stat": {"name": REQUESTS, "tags": stat_tags}, "value_fixed": 1}],
        histograms=[
            {"stat": {"name": DURATION, "tags": stat_tags}, "unit": "Milliseconds", "value_format": "%DURATION%"}
        ],
    )


def labels(pod: Pod, reporter: Reporter, protocol: str) -> dict[str, str]:
    """Istio's labels, in the order in which they appear, with the Envoy format that gives each its value."""
    called = reporter == "source"
    return {
        "reporter": reporter,
        "source_workload": pod.workload if called else f"%FILTER_STATE({PEER_STATE}:PLAIN)%",
        "destination_workload": f"%METADATA(UPSTREAM_HOST:{METADATA}:workload)%" if called else pod.workload,
        "destination_service": f"%METADATA(CLUSTER:{METADATA}:host)%",
        # A route without a cluster (block_all) carries the name itself; only one of the two is ever there.
        "destination_service_name": f"%METADATA(CLUSTER:{METADATA}:name)%%METADATA(ROUTE:{METADATA}:name)%",
        "request_protocol": protocol,
        "response_code": "%RESPONSE_CODE%",
        "response_flags": "%RESPONSE_FLAGS%",
    }
