"""A realistic run, made up without a mesh: for the tests, and for looking at the page.

`python -c "import sample_run; sample_run.write('/tmp/run.html')"` in this folder writes its report.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runner.analysis.analyse import analyse
from runner.analysis.evidence import TrialEvidence
from runner.analysis.figures import figures
from runner.report.html import render
from runner.results.document.attestation import Attestation, ProxyVersions
from runner.results.document.evidence import AbsentEvidence, AccessLogEntry, Edge
from runner.results.document.figures import Latency
from runner.results.document.manifest import ManifestRecord
from runner.results.document.run import MeshRecord, RunDocument
from runner.results.document.trial import GeneratorRecord, Invalid, TrialRecord, ValidityNote
from runner.results.trial import TrialFile
from runner.results.window import Second, Window
from runner.spec.checks import Check, parse_check

START = datetime(2026, 11, 24, 6, 12, 9, tzinfo=UTC)
PROXIES = [
    "client",
    "details-v1",
    "ingressgateway",
    "productpage-v1",
    "ratings-v1",
    "reviews-v1",
    "reviews-v2",
    "reviews-v3",
]
FAULT = "http.outbound_0.0.0.0_9080;.fault.delays_injected"

RATINGS_DELAY = """\
# Two seconds on every call of ratings.
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: ratings
spec:
  hosts:
  - ratings
  http:
  - fault:
      delay:
        percentage:
          value: 100
        fixedDelay: 2s
    route:
    - destination:
        host: ratings
        subset: v1
"""
REVIEWS_V2 = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts:
  - reviews
  http:
  - route:
    - destination:
        host: reviews
        subset: v2
"""
REVIEWS_TIMEOUT = REVIEWS_V2.rstrip("\n") + "\n    timeout: 0.5s\n"


@dataclass
class Arm:
    """How one made-up variant behaves: its median and tail in ms, and what its pages show."""

    name: str
    median: float
    tail: float = 0.08
    error_rate: float = 0.0
    outcomes: dict[str, float] = field(default_factory=dict)
    counters: dict[str, dict[str, int]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)


TIMEOUT = Arm(
    "timeout-500ms",
    1021,
    0.02,
    outcomes={"reviews unavailable": 0.98, "black stars": 0.015},
    counters={
        "productpage-v1": {
            "cluster.outbound|9080|v2|reviews.default.svc.cluster.local;.upstream_rq_timeout": 2,
            "cluster.outbound|9080|v2|reviews.default.svc.cluster.local;.upstream_rq_5xx": 2,
            "cluster.outbound|9080|v2|reviews.default.svc.cluster.local;.upstream_rq_total": 2,
        }
    },
    files=["istio/destination-rules.yaml", "istio/ratings-delay-2s.yaml", "istio/reviews-timeout-500ms.yaml"],
)
SLOW = Arm(
    "slow-ratings",
    2019,
    0.01,
    outcomes={"black stars": 1.0},
    counters={
        "productpage-v1": {"cluster.outbound|9080|v2|reviews.default.svc.cluster.local;.upstream_rq_total": 1},
        "reviews-v2": {"cluster.outbound|9080|v1|ratings.default.svc.cluster.local;.upstream_rq_total": 1},
    },
    files=["istio/destination-rules.yaml", "istio/reviews-v2.yaml", "istio/ratings-delay-2s.yaml"],
)
RULES = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: reviews
spec:
  host: reviews
  subsets:
  - name: v1
    labels: {version: v1}
  - name: v2
    labels: {version: v2}
"""
TEXTS = {
    "istio/destination-rules.yaml": RULES,
    "istio/reviews-v2.yaml": REVIEWS_V2,
    "istio/ratings-delay-2s.yaml": RATINGS_DELAY,
    "istio/reviews-timeout-500ms.yaml": REVIEWS_TIMEOUT,
}
RESOURCES = {
    "istio/destination-rules.yaml": ["DestinationRule default/reviews"],
    "istio/reviews-v2.yaml": ["VirtualService default/reviews"],
    "istio/ratings-delay-2s.yaml": ["VirtualService default/ratings"],
    "istio/reviews-timeout-500ms.yaml": ["VirtualService default/reviews"],
}
NO_PROMETHEUS = "the embedded mesh has no Prometheus"
QUICK = 10


@dataclass
class Run:
    """A run folder's content."""

    document: RunDocument
    trials: list[TrialFile]
    manifests: dict[str, str]

    def html(self) -> str:
        return render(self.document, self.trials, self.manifests)


def window(arm: Arm, seconds: int, rate: int, rng: random.Random, started: float, *, open_loop: bool = True) -> Window:
    """A measured window: a lognormal latency around the arm's median, one block's own luck, a few slow ones."""
    luck = rng.gauss(0, 0.006)
    made = []
    for offset in range(seconds):
        second = Second(offset=offset, due=rate if open_loop else 0)
        for number in range(rate):
            name = "/productpage" if number % 4 else "/api/v1/products"
            failed = rng.random() < arm.error_rate
            service = arm.median * math.exp(luck + abs(rng.gauss(0, arm.tail)) + (0.4 if rng.random() < 0.01 else 0))
            if failed:
                service *= 0.02
            cell = second.cell(name, "503" if failed else "200")
            cell.service.record(int(service * 1000))
            lag = abs(rng.gauss(0, 0.4))
            cell.response.record(int((service + lag) * 1000))
            second.lag.record(int(lag * 1000))
            cell.errors += failed
            for label, share in arm.outcomes.items():
                if rng.random() < share:
                    labels = second.outcomes.setdefault(name, {})
                    labels[label] = labels.get(label, 0) + 1
                    break
        made.append(second)
    return Window(made, float(seconds), open_loop, rate * seconds if open_loop else 0, started, started + seconds, 0.21)


def edges(arm: Arm, requests: int) -> list[Edge]:
    def edge(reporter: str, source: str, destination: str, code: str, flags: str, share: float, ms: float) -> Edge:
        service = f"{destination.rsplit('-', 1)[0]}.default.svc.cluster.local"
        return Edge(
            reporter=reporter,
            source=source,
            destination=destination,
            service=service,
            code=code,
            flags=flags,
            requests=int(requests * share),
            duration_ms=ms,
        )

    found = [
        edge("source", "ingressgateway", "productpage-v1", "200", "-", 1, arm.median),
        edge("destination", "ingressgateway", "productpage-v1", "200", "-", 1, arm.median - 1),
        edge("source", "productpage-v1", "details-v1", "200", "-", 1, 1.4),
        edge("source", "reviews-v2", "ratings-v1", "200", "DI", 1, 2002.0),
    ]
    if arm.median < 1500:
        found.append(edge("source", "productpage-v1", "reviews-v2", "504", "UT", 2, 500.6))
        found.append(edge("destination", "productpage-v1", "reviews-v2", "0", "DC", 2, 500.2))
    else:
        found.append(edge("source", "productpage-v1", "reviews-v2", "200", "-", 1, 2006.1))
    return found


def access_log(arm: Arm, at: datetime) -> list[AccessLogEntry]:
    def entry(proxy: str, path: str, status: int, flags: str, details: str, ms: int, host: str) -> AccessLogEntry:
        when = f"{at:%Y-%m-%dT%H:%M:%S}.123Z"
        cluster = f"outbound|9080|v2|{host}.default.svc.cluster.local;"
        return AccessLogEntry(
            proxy=proxy,
            time=when,
            method="GET",
            path=path,
            authority=f"{host}:9080",
            status=status,
            flags=flags,
            details=details,
            duration_ms=ms,
            upstream_cluster=cluster,
            upstream_host="127.71.4.9:9080",
            line=f'[{when}] "GET {path} HTTP/1.1" {status} {flags} {details}',
        )

    slow = int(arm.median)
    lines = [entry("ingressgateway", "/productpage", 200, "-", "via_upstream", slow, "productpage")] * 3
    lines.append(entry("reviews-v2", "/ratings/0", 200, "DI", "via_upstream", 2002, "ratings"))
    if arm.median < 1500:
        lines.append(entry("productpage-v1", "/reviews/0", 504, "UT", "response_timeout", 500, "reviews"))
    return lines


def trial(
    arm: Arm,
    block: int,
    at: datetime,
    seconds: int,
    rate: int,
    rng: random.Random,
    *,
    attempt: int = 1,
    open_loop: bool = True,
) -> tuple[TrialRecord, TrialFile]:
    measured = window(arm, seconds, rate, rng, at.timestamp(), open_loop=open_loop)
    counted = figures([measured])
    record = TrialRecord(
        **counted.model_dump(by_alias=False),
        block=block,
        variant=arm.name,
        attempt=attempt,
        started=at.isoformat().replace("+00:00", "Z"),
        ended=(at + timedelta(seconds=seconds + 1)).isoformat().replace("+00:00", "Z"),
        attestation=Attestation(
            proxies={
                proxy: ProxyVersions(
                    start=f"2026-{block:02d}-{len(arm.name):02d}", end=f"2026-{block:02d}-{len(arm.name):02d}"
                )
                for proxy in PROXIES
            },
            faults={f"reviews-v2 {FAULT}": counted.requests},
        ),
        generator=GeneratorRecord(scheduled=rate * seconds, cpu=0.21, lag_ms=Latency(p50=0.3, p99=1.4, max=4.1)),
    )
    file = TrialFile(
        variant=arm.name,
        block=block,
        attempt=attempt,
        window=measured,
        edges=edges(arm, counted.requests),
        access_log=access_log(arm, at),
        promql={"reviews_5xx": None},
    )
    return record, file


def increases(arm: Arm, requests: int) -> dict[str, dict[str, int]]:
    """What the proxies' counters grew by in one trial."""
    moved = {
        proxy: {stat: number * requests for stat, number in stats.items()} for proxy, stats in arm.counters.items()
    }
    moved.setdefault("reviews-v2", {})[FAULT] = requests
    gateway = moved.setdefault("ingressgateway", {})
    gateway["http.outbound_0.0.0.0_8080;.downstream_rq_total"] = requests
    gateway["http.outbound_0.0.0.0_8080;.downstream_rq_2xx"] = requests
    gateway["cluster.outbound|9080||productpage.default.svc.cluster.local;.upstream_rq_total"] = requests
    gateway["listener.127.71.0.2_8080.downstream_cx_total"] = 2
    return moved


def lose_config(record: TrialRecord) -> None:
    """Make a trial one in which a proxy changed its config."""
    record.valid = False
    record.invalid_because = [Invalid.CONFIG_LOST]
    held = record.attestation.proxies["productpage-v1"]
    held.end = held.start + "-x"
    detail = f"productpage-v1 held {held.start}, then {held.end}"
    record.notes = [ValidityNote(code=Invalid.CONFIG_LOST, detail=detail)]


def default_checks(arms: list[Arm]) -> list[Check]:
    base, last = arms[0].name, arms[-1].name
    return [
        parse_check("p50 >= 2s", base, None, None),
        parse_check("p95 < 1.3s", last, None, None),
        parse_check("error_rate < 1%", last, None, None),
        parse_check("outcome[reviews unavailable] > 90%", last, None, None),
        parse_check("proxy[productpage-v1 upstream_rq_timeout] > 0", last, None, None),
        parse_check("promql[reviews_5xx] < 5", last, None, None),
        parse_check("p50 <= -40%", last, base, None),
    ]


def make(
    arms: list[Arm] | None = None,
    *,
    blocks: int = 6,
    seconds: int = 20,
    rate: int = 20,
    seed: int = 7,
    open_loop: bool = True,
    invalid: bool = True,
) -> Run:
    """A run of request-timeout's kind: the first arm is the baseline; with `invalid`, block 2 ran again."""
    arms = arms or [SLOW, TIMEOUT]
    rng = random.Random(seed)  # noqa: S311 - made-up data
    records: dict[str, list[TrialRecord]] = {arm.name: [] for arm in arms}
    files: list[TrialFile] = []
    evidence: list[TrialEvidence] = []
    at = START
    again = [(2, 2)] if invalid else []
    for block, attempt in [(1, 1), (2, 1), *again, *((number, 1) for number in range(3, blocks + 1))]:
        for arm in rng.sample(arms, len(arms)):
            record, file = trial(arm, block, at, seconds, rate, rng, attempt=attempt, open_loop=open_loop)
            if invalid and (block, attempt) == (2, 1):
                record.superseded = True
                if arm is arms[-1]:
                    lose_config(record)
            records[arm.name].append(record)
            files.append(file)
            grown = increases(arm, record.requests)
            absent = {"reviews_5xx": NO_PROMETHEUS}
            evidence.append(
                TrialEvidence(block, attempt, arm.name, file.window, grown, absent=absent, valid=record.valid)
            )
            at += timedelta(seconds=seconds + 6)
    analysis = analyse([arm.name for arm in arms], evidence, default_checks(arms))
    for arm, variant in zip(arms, analysis.variants, strict=True):
        variant.trials = records[arm.name]
        variant.edges = edges(arm, variant.requests)
        variant.load = "20/s uniform arrivals from the gateway" if open_loop else "3 users from the client"
        variant.manifests = [
            ManifestRecord(name=name, file=f"manifests/{name.rsplit('/', 1)[-1]}", resources=RESOURCES[name])
            for name in arm.files
        ]
    document = RunDocument(
        experiment="request-timeout",
        question="Does a half-second timeout on reviews cap the wait that slow ratings cause?",
        description="Istio's guide, Request Timeouts: ratings is 2 s late, reviews waits, productpage asks twice.",
        verdict=analysis.verdict,
        reason=analysis.reason,
        headline=analysis.headline,
        seed=seed,
        started=START.isoformat().replace("+00:00", "Z"),
        ended=at.isoformat().replace("+00:00", "Z"),
        quick=seconds < QUICK,
        open_loop=open_loop,
        blocks=blocks,
        warmup_s=5,
        duration_s=seconds,
        mesh=MeshRecord(kind="local", envoy="1.40.0", app="bookinfo", proxies=PROXIES, joined=True),
        meshtrial="0.1.0",
        machine={"cpu": "Xeon", "cores": 2, "memory": "8 GB", "kernel": "Linux 6.1", "load": {"1 min": 0.42}},
        versions={"python": "3.11.2", "locust": "2.47.0"},
        command=f"meshtrial run experiments/request-timeout.yaml --seed {seed}",
        variants=analysis.variants,
        comparisons=analysis.comparisons,
        checks=analysis.checks,
        absent=[AbsentEvidence(name="promql reviews_5xx", reason=NO_PROMETHEUS)],
        restored="The mesh holds exactly what it held before; every proxy confirmed it.",
        warnings=["Trials of 20 s are short: below 30 s rare events are easily missed."],
    )
    manifests = {f"manifests/{name.rsplit('/', 1)[-1]}": text for name, text in TEXTS.items()}
    return Run(document, files, manifests)


STATS = (
    *("upstream_rq_total", "upstream_rq_timeout", "upstream_rq_retry", "upstream_cx_total", "upstream_rq_5xx"),
    *("upstream_rq_200", "upstream_rq_2xx", "external.upstream_rq_200", "upstream_cx_rx_bytes_total"),
    *("upstream_cx_tx_bytes_total", "lb_healthy_panic", "upstream_rq_completed"),
)


def many(arms: int = 7) -> list[Arm]:
    """Several arms with many counters each, for size."""
    services = ("productpage", "details", "reviews", "ratings")
    clusters = [f"v{version}|{service}" for version in (1, 2) for service in services]
    return [
        Arm(
            f"retries-{number}",
            40 + 6 * number,
            0.3,
            error_rate=0.004 * number,
            outcomes={"red stars": 0.5, "black stars": 0.5},
            counters={
                proxy: {
                    f"cluster.outbound|9080|{cluster}.default.svc.cluster.local;.{stat}": number + 1
                    for cluster in clusters
                    for stat in STATS
                }
                for proxy in PROXIES
            },
            files=TIMEOUT.files if number else SLOW.files,
        )
        for number in range(arms)
    ]


def write(path: str) -> None:
    """Write the report of the default run."""
    Path(path).write_text(make().html(), encoding="utf-8")
