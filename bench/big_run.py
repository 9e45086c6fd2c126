"""A run folder as a long run leaves it, with as many requests as one likes.

Its latencies are drawn; what is made of them is written by the store and analysed by the analysis. Ten blocks of two
variants, 40 s each, as the method recommends; two request names, a share of errors, 1,200 counters on each of eight
proxies. Latencies are lognormal around a median of 40 ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from runner.analysis.analyse import analyse
from runner.analysis.evidence import TrialEvidence
from runner.analysis.figures import figures
from runner.results.document.attestation import Attestation, ProxyVersions
from runner.results.document.evidence import AccessLogEntry, Edge
from runner.results.document.figures import Latency
from runner.results.document.manifest import ManifestRecord
from runner.results.document.run import MeshRecord, RunDocument
from runner.results.document.trial import GeneratorRecord, TrialRecord
from runner.results.histogram import Histogram, bucket_of
from runner.results.store import RunFolder
from runner.results.trial import TrialFile
from runner.results.window import Cell, Second, Window
from runner.spec.checks import parse_check

if TYPE_CHECKING:
    from pathlib import Path

BLOCKS, SECONDS = 10, 40
_START = datetime(2026, 1, 5, 9, 0, 0, tzinfo=UTC)
_SERVICES = ("productpage", "details", "reviews", "ratings")
_PROXIES = ("client", "details-v1", "gateway", "productpage-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3")
_COUNTERS = 1200
_MOVING = 60
_MANIFEST = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - timeout: 500ms
    route: [{destination: {host: reviews}}]
"""
_BASELINE, _CHANGED = "as-it-is", "timeout-500ms"


@dataclass(frozen=True, slots=True)
class _Arm:
    name: str
    median_us: float
    errors: float


_ARMS = (_Arm(_BASELINE, 40_000, 0.002), _Arm(_CHANGED, 38_000, 0.004))


def write(root: Path, requests: int) -> Path:
    """Write a run with about `requests` requests in all; returns its folder."""
    dice = np.random.default_rng(1)
    rate = max(4, requests // (BLOCKS * SECONDS * len(_ARMS)))
    folder = RunFolder.create(root, f"requests-{requests}")
    manifest = folder.add_manifest(_CHANGED, "timeout.yaml", _MANIFEST.encode())
    records: dict[str, list[TrialRecord]] = {arm.name: [] for arm in _ARMS}
    evidence: list[TrialEvidence] = []
    at = _START
    for block in range(1, BLOCKS + 1):
        for arm in _ARMS:
            window = _window(arm, rate, dice, at.timestamp())
            file = _trial_file(arm, block, window)
            record = _record(arm, block, window)
            record.file = folder.write_trial(file)
            records[arm.name].append(record)
            increases = {
                proxy: {name: value - file.stats_before[proxy][name] for name, value in list(after.items())[:_MOVING]}
                for proxy, after in file.stats_after.items()
            }
            evidence.append(TrialEvidence(block, 1, arm.name, window, increases, valid=True))
            at += timedelta(seconds=SECONDS + 6)
    folder.write_document(_document(records, evidence, manifest, at))
    return folder.path


def _window(arm: _Arm, rate: int, dice: np.random.Generator, started: float) -> Window:
    seconds = []
    for offset in range(SECONDS):
        second = Second(offset, due=rate, in_flight=3)
        for name, share in (("/productpage", 0.75), ("/api/v1/products", 0.25)):
            for status, part in (("200", 1 - arm.errors), ("503", arm.errors)):
                number = round(rate * share * part)
                if not number:
                    continue
                service = dice.lognormal(np.log(arm.median_us * (1 if status == "200" else 0.02)), 0.3, number)
                lag = np.abs(dice.normal(0, 300, number))
                failed = number if status == "503" else 0
                second.cells.setdefault(name, {})[status] = Cell(_histogram(service + lag), _histogram(service), failed)
        second.lag = _histogram(np.abs(dice.normal(0, 300, rate)))
        seconds.append(second)
    ended = started + SECONDS
    return Window(
        seconds, SECONDS, open_loop=True, scheduled=rate * SECONDS, started=started, ended=ended, generator_cpu=0.6
    )


def _histogram(microseconds: np.ndarray) -> Histogram:
    whole = microseconds.astype(np.int64)
    values, counts = np.unique(whole, return_counts=True)
    histogram = Histogram()
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        lower = bucket_of(value)
        histogram.counts[lower] = histogram.counts.get(lower, 0) + count
    histogram.count, histogram.total = len(whole), int(whole.sum())
    histogram.least, histogram.greatest = int(whole.min()), int(whole.max())
    return histogram


def _trial_file(arm: _Arm, block: int, window: Window) -> TrialFile:
    number = window.whole().lag.count
    before = {proxy: {_counter(index): 17 * index for index in range(_COUNTERS)} for proxy in _PROXIES}
    after = {
        proxy: {name: value + (number if index < _MOVING else 0) for index, (name, value) in enumerate(stats.items())}
        for proxy, stats in before.items()
    }
    edges = [
        Edge(
            reporter=reporter,
            source=source,
            destination=f"{service}-v1",
            service=f"{service}.default.svc.cluster.local",
            code="200",
            flags="-",
            requests=number,
            duration_ms=12.5,
        )
        for reporter in ("source", "destination")
        for source, service in (
            ("gateway", "productpage"),
            ("productpage-v1", "details"),
            ("productpage-v1", "reviews"),
        )
    ]
    log = [
        AccessLogEntry(
            proxy="productpage-v1",
            time="2026-01-05T09:00:00.123Z",
            method="GET",
            path="/reviews/0",
            authority="reviews:9080",
            status=504,
            flags="UT",
            details="response_timeout",
            duration_ms=500,
            upstream_cluster="outbound|9080||reviews.default.svc.cluster.local;",
            upstream_host="127.71.4.9:9080",
            line='[2026-01-05T09:00:00.123Z] "GET /reviews/0 HTTP/1.1" 504 UT response_timeout',
        )
    ] * 40
    return TrialFile(arm.name, block, 1, window, None, before, after, edges, log)


def _counter(index: int) -> str:
    service = _SERVICES[index % len(_SERVICES)]
    return f"cluster.outbound|9080|v{index % 3 + 1}|{service}.default.svc.cluster.local;.upstream_counter_{index}"


def _record(arm: _Arm, block: int, window: Window) -> TrialRecord:
    def moment(seconds: float) -> str:
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")

    held = {proxy: ProxyVersions(start=f"{arm.name}-1", end=f"{arm.name}-1") for proxy in _PROXIES}
    return TrialRecord(
        **figures([window]).model_dump(by_alias=False),
        block=block,
        variant=arm.name,
        attempt=1,
        started=moment(window.started),
        ended=moment(window.ended),
        attestation=Attestation(proxies=held, faults={}),
        generator=GeneratorRecord(
            scheduled=window.scheduled, cpu=window.generator_cpu, lag_ms=Latency(p50=0.2, p99=0.8, max=1.4)
        ),
    )


def _document(
    records: dict[str, list[TrialRecord]], evidence: list[TrialEvidence], manifest: str, ended: datetime
) -> RunDocument:
    checks = [
        parse_check("p99 < 120ms", _BASELINE, None, None),
        parse_check("error_rate < 1%", _CHANGED, None, None),
        parse_check("p50 <= -3%", _CHANGED, _BASELINE, None),
    ]
    analysis = analyse([arm.name for arm in _ARMS], evidence, checks)
    for variant in analysis.variants:
        variant.trials = records[variant.name]
        variant.load = "arrivals from the gateway"
    analysis.variants[1].manifests = [
        ManifestRecord(name="timeout.yaml", file=manifest, resources=["VirtualService default/reviews"])
    ]
    return RunDocument(
        experiment="ten-million",
        question="Does a half-second timeout on reviews change what pages take?",
        verdict=analysis.verdict,
        reason=analysis.reason,
        headline=analysis.headline,
        seed=1,
        started=_START.isoformat().replace("+00:00", "Z"),
        ended=ended.isoformat().replace("+00:00", "Z"),
        open_loop=True,
        blocks=BLOCKS,
        warmup_s=5,
        duration_s=SECONDS,
        mesh=MeshRecord(kind="local", envoy="1.40.0", app="bookinfo", proxies=list(_PROXIES)),
        variants=analysis.variants,
        comparisons=analysis.comparisons,
        checks=analysis.checks,
    )
