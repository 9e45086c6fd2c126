"""Connections that a proxy closed because its config says so: no answer, and still no failure to reach anybody.

Without an answer a target looks the same whether it is away or refuses. The refusing proxy's own counter tells one from the
other: a sidecar with STRICT mutual TLS has no filter chain for plain text, and counts each connection that finds none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_CHAIN = re.compile(r"^listener\..+\.no_filter_chain_match$")
"""Envoy's counter of accepted connections that no filter chain matches, which it closes."""

SHARE = 0.99
"""The least share of unanswered requests whose connections proxies must have counted, to say that these were refused."""


def refusing(unanswered: int, increases: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """The proxies that refused the connections of a window in which nothing was answered, with how many; empty when they did not.

    Args:
        unanswered: requests without a response.
        increases: by proxy, by full stat name, how much a counter grew over the window.
    """
    refused = {
        proxy: total
        for proxy, counters in sorted(increases.items())
        if (total := sum(grown for stat, grown in counters.items() if NO_CHAIN.match(stat)))
    }
    return refused if sum(refused.values()) >= SHARE * unanswered else {}
