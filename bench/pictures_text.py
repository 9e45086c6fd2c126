"""What the captions of the pictures say: figures read from the document of the run that each picture shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.report import words

if TYPE_CHECKING:
    from runner.results.document.run import RunDocument


def loops_caption(document: RunDocument) -> str:
    """What both loops sent and saw."""
    closed, opened = document.variants
    sent = []
    for record in (closed, opened):
        counted = sum(trial.valid and not trial.superseded for trial in record.trials)
        sent.append(f"{words.count(record.requests)} requests in {words.plural(counted, 'trial')} of 20 s")
    return (
        "The same server, which stops for 200 ms every two seconds, asked by two users who each would ask a hundred times a second, and by "
        f"a schedule of 200 arrivals a second. The closed loop sent {sent[0]} and reports a p95 of "
        f"{words.latency(closed.latency_ms.p95)} and a p99 of {words.latency(closed.latency_ms.p99)}; the open loop sent {sent[1]} "
        f"and reports {words.latency(opened.latency_ms.p95)} and {words.latency(opened.latency_ms.p99)}. Arithmetic says 100 ms and "
        "180 ms: a tenth of all visitors come during a stop and wait between 0 and 200 ms."
    )


def blocks_caption(document: RunDocument) -> str:
    """Every comparison that came to a word, with the truth that the names tell."""
    said = []
    for record in document.comparisons:
        if record.metric in {"p50", "mean"} and record.estimate is not None:
            between = words.change_interval(record.metric, record.low, record.high)
            said.append(
                f"| `{record.variant}` | `{record.metric}` | {words.change(record.metric, record.estimate)} | {between} | "
                f"{record.outcome} |"
            )
    head = "| variant | metric | estimate | 95 % interval | word |\n|--|--|--|--|--|\n"
    return (
        f"Three services against `{document.variants[0].name}`, {words.plural(document.blocks, 'block')}. Each small tick is the "
        "difference in one block, the dot is their centre, the bar its interval, the shaded band the margin.\n\n"
        + head
        + "\n".join(said)
    )


def capacity_caption(document: RunDocument) -> str:
    """What the search found, and the truth."""
    (search,) = document.variants[0].capacity_searches
    return (
        f"A service of eight workers that take 20 ms for a request, which is 400/s and no more. In {len(search.steps)} trials and "
        f"{search.load_s:.0f} s of load the search found {words.rate(search.rate)}, kept at {words.rate(search.low)} and not kept at "
        f"{words.rate(search.high)}; the knee is at {words.rate(search.knee)}. The curve is flat as long as a worker is free, and a wall "
        "after that."
    )
