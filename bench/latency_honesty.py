"""A server that stops for 200 ms every two seconds, as each load generator reports it.

Two hundred requests a second for twenty seconds by a schedule: arithmetic says p95 = 100 ms and p99 = 180 ms (see
`bench/stall_server.py`), whoever asks. A generator that waits with its server sends less and reports less. Ours with
FastHttpUser and with HttpUser stand beside vegeta, k6 (constant arrival rate), fortio (its defaults, and `-uniform
-nocatchup`) and plain Locust (20 users at constant_throughput(10)); one that is not installed is left out and named.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from bench.generators import generators
from bench.measure import Result, Sample, Series, series, side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.generators import Seen

RATE = 200
SECONDS = 20
QUICK_SECONDS = 6
REPEATS = 5

_SENT, _P95, _P99 = "sent of all", "p95", "p99"


@contextlib.contextmanager
def stall_server() -> Iterator[str]:
    """The URL of a server that stops for 200 ms every two seconds, while the context lasts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "bench.stall_server", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                raise RuntimeError("the server did not start")
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.kill()


def _once(run: Callable[[str, int, int], Seen], url: str, seconds: int) -> Sample:
    seen = run(url, RATE, seconds)
    return {_SENT: seen.requests / (RATE * seconds), _P95: seen.quantiles[95], _P99: seen.quantiles[99]}


def measure(*, quick: bool = False) -> Result:
    """Run all of them side by side."""
    seconds, repeats = (QUICK_SECONDS, 2) if quick else (SECONDS, REPEATS)
    with stall_server() as url, generators() as (runs, notes):
        arms = {name: partial(_once, run, url, seconds) for name, run in runs.items()}
        found = side_by_side(arms, repeats, warm=False)
    rows = []
    for name in arms:
        ours = name == "meshtrial, FastHttpUser"
        row = series(found, name, _SENT, "x", f"{name}: sent")
        rows.append(row.aimed(">= 1") if ours else row)
        for quantity, aim in ((_P95, "<= 108"), (_P99, "<= 189")):
            row = series(found, name, quantity, "ms", f"{name}: {quantity}")
            rows.append(row.aimed(aim) if ours else row)
    if "vegeta" in found:
        for quantity in (_P95, _P99):
            mine = series(found, "meshtrial, FastHttpUser", quantity, "ms")
            theirs = series(found, "vegeta", quantity, "ms")
            beyond = tuple(our - their for our, their in zip(mine.values, theirs.values, strict=True))
            rows.append(Series(f"{quantity} of ours beyond vegeta's", "ms", beyond, "<= 3"))
    return Result(rows, [f"the truth by arithmetic: p95 = 100 ms, p99 = 180 ms, {RATE * seconds} requests", *notes])
