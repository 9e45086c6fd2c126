"""Retry policies: istiod's defaults, and what a VirtualService changes about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.mesh.local.translate.model import Message, duration, extension

if TYPE_CHECKING:
    from runner.istio.virtual_service import HTTPRetry

DEFAULT_ATTEMPTS = 2
DEFAULT_RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
"""Only what never reached the application, and what the application itself calls retriable: no 503 of an upstream's."""

HOST_ATTEMPTS = 5
_BY_CODE = "retriable-status-codes"


def retry_policy(retries: HTTPRetry | None, *, sticky: bool) -> Message | None:
    """The retry policy of an outbound route; None when retries are turned off (`attempts: 0`).

    Args:
        retries: the VirtualService's; None for Istio's default.
        sticky: the route has one destination, chosen by consistent hash: retries then stay with its host.
    """
    policy: Message = {
        "num_retries": DEFAULT_ATTEMPTS,
        "retry_on": DEFAULT_RETRY_ON,
        "host_selection_retry_max_attempts": HOST_ATTEMPTS,
    }
    if not sticky:
        policy["retry_host_predicate"] = [
            extension(
                "envoy.retry_host_predicates.previous_hosts",
                "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            )
        ]
    if retries is None:
        return policy
    if retries.attempts == 0:
        return None
    policy["num_retries"] = retries.attempts
    if retries.retry_on:
        policy.update(_retry_on(retries.retry_on))
    if retries.per_try_timeout is not None:
        policy["per_try_timeout"] = duration(retries.per_try_timeout)
    if retries.retry_remote_localities:
        policy["retry_priority"] = extension(
            "envoy.retry_priorities.previous_priorities",
            "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
            update_frequency=2,
        )
    if retries.backoff is not None:
        policy["retry_back_off"] = {"base_interval": duration(retries.backoff)}
    return policy


def inbound_retry_policy() -> Message:
    """An inbound route retries what was reset before it reached the application (a keep-alive race with it)."""
    return {"num_retries": DEFAULT_ATTEMPTS, "retry_on": "reset-before-request"}


def _retry_on(text: str) -> Message:
    words = [word for part in text.split(",") if (word := part.strip())]
    codes = [int(word) for word in words if word.isdecimal()]
    policies = [word for word in words if not word.isdecimal()]
    if not codes:
        return {"retry_on": ",".join(policies)}
    if _BY_CODE not in policies:
        policies.append(_BY_CODE)
    return {"retry_on": ",".join(policies), "retriable_status_codes": codes}
