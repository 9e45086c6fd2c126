"""What merging the histograms of many load generators costs.

Each worker sends one message for each second of load: its histograms by request name and status (three names, 200 and 503), its
counts and its lag, as JSON. The master parses and adds them. Every worker here makes 50 requests a second with latencies of its own,
so 1,000 workers stand for 50,000 requests a second. Afterwards the merged histograms are held against ones that recorded every single
request: bucket by bucket, with number, sum, least and greatest. Percentiles averaged over workers, which is what
tools without mergeable histograms show, stand in the notes.
"""

from __future__ import annotations

import json
import resource
import tracemalloc
from time import process_time
from typing import TYPE_CHECKING

import numpy as np

from bench.measure import Result, Series, say
from bench.statistics_model import SEED, stream
from runner.results.histogram import Histogram
from runner.results.window import Second

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS = (10, 100, 1000)
RATE = 50
NAMES = ("/productpage", "/api/v1/products", "/login")
_FAILED = 0.02
_QUANTILES = (0.5, 0.95, 0.99, 0.999)


def second_of(dice: np.random.Generator, offset: int, recorded: dict[str, Histogram], centre: float) -> Second:
    """What one worker saw in one second; every latency goes into `recorded` by name as well."""
    second = Second(offset, due=RATE, in_flight=3)
    latencies = np.rint(centre * np.exp(0.5 * dice.standard_normal(RATE))).astype(int).tolist()
    lags = np.rint(200 * dice.exponential(size=RATE)).astype(int).tolist()
    for number, (latency, lag) in enumerate(zip(latencies, lags, strict=True)):
        name = NAMES[number % len(NAMES)]
        failed = dice.random() < _FAILED
        cell = second.cell(name, "503" if failed else "200")
        cell.service.record(latency)
        cell.response.record(latency + lag)
        cell.errors += failed
        second.lag.record(lag)
        recorded[name].record(latency + lag)
    return second


def messages(workers: int, seconds: int) -> tuple[list[list[bytes]], dict[str, Histogram], list[list[float]]]:
    """By second, what all workers send; the histograms that recorded all of it; every worker's own quantiles."""
    dice = stream("workers", workers)
    whole = {name: Histogram() for name in NAMES}
    sent: list[list[bytes]] = [[] for _ in range(seconds)]
    quantiles = []
    for worker in range(workers):
        mine = {name: Histogram() for name in NAMES}
        # one worker in ten sits beside something slow
        centre = 200_000.0 if worker % 10 == 0 else 20_000.0
        for offset in range(seconds):
            second = second_of(dice, offset, mine, centre)
            sent[offset].append(json.dumps(second.to_json()).encode())
        for name in NAMES:
            whole[name].add(mine[name])
        of_all = Histogram.merged(mine.values())
        quantiles.append([of_all.quantile(share) or 0.0 for share in _QUANTILES])
    return sent, whole, quantiles


def merged(sent: list[list[bytes]]) -> Iterator[Second]:
    """What the master does: parse and add."""
    for offset, parts in enumerate(sent):
        whole = Second(offset)
        for part in parts:
            whole.add(Second.from_json(json.loads(part)))
        yield whole


def response_of(seconds: list[Second], name: str) -> Histogram:
    """All answered requests of one name."""
    return Histogram.merged(cell.response for second in seconds for cell in second.cells.get(name, {}).values())


def lost(seconds: list[Second], recorded: dict[str, Histogram]) -> int:
    """Requests that are not where they were recorded, bucket by bucket; -1 when number, sum, least or greatest differ."""
    missing = 0
    for name, theirs in recorded.items():
        ours = response_of(seconds, name)
        if (ours.count, ours.total, ours.least, ours.greatest) != (
            theirs.count,
            theirs.total,
            theirs.least,
            theirs.greatest,
        ):
            return -1
        missing += sum(abs(ours.counts.get(lower, 0) - theirs.counts.get(lower, 0)) for lower in theirs.counts)
        missing += sum(number for lower, number in ours.counts.items() if lower not in theirs.counts)
    return missing


def measure(*, quick: bool) -> Result:
    """Run the simulation."""
    seconds, repeats = (2, 2) if quick else (5, 5)
    rows: list[Series] = []
    notes = [f"Seed {SEED}."]
    for workers in WORKERS:
        say(f"{workers} workers")
        sent, recorded, quantiles = messages(workers, seconds)
        spent, kept = [], []
        for _ in range(repeats):
            began = process_time()
            kept = list(merged(sent))
            spent.append((process_time() - began) / seconds * 1000)
        tracemalloc.start()
        for _ in merged(sent[:1]):
            pass
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        size = sum(len(part) for parts in sent for part in parts) / seconds / 2**20
        rows += [
            Series(f"{workers} workers: master's CPU for a second of load", "ms", tuple(spent)),
            Series(f"{workers} workers: the same per request", "µs", tuple(s * 1000 / workers / RATE for s in spent)),
            Series(f"{workers} workers: messages for a second of load", "MB", (size,)),
            Series(f"{workers} workers: master's memory while it merges a second, peak", "MB", (peak,)),
            Series(
                f"{workers} workers: requests lost or moved to another bucket",
                f"of {workers * RATE * seconds}",
                (float(lost(kept, recorded)),),
                "<= 0",
            ),
        ]
        whole = Histogram.merged(recorded.values())
        mean = np.mean(np.array(quantiles), axis=0)
        texts = [
            f"p{share * 100:g} {average / 1000:.0f} ms instead of {(whole.quantile(share) or 0) / 1000:.0f}"
            for share, average in zip(_QUANTILES, mean, strict=True)
        ]
        notes.append(f"{workers} workers, percentiles averaged instead of histograms merged: {', '.join(texts)}.")
    say("")
    notes.append(
        "A merged histogram has as many buckets as latencies have sizes, not as there are workers: memory hardly grows with them. "
        f"The whole process had used {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB, "
        "the prepared messages and the second copy of every histogram included."
    )
    return Result(rows, notes)
