"""The report of a run with ten million requests.

Histograms, not requests, reach the run folder, so a report should cost what its trials, seconds and buckets cost: the
same run with ten thousand requests stands beside it. The floor is to read the big run's files and parse their JSON, which
every report must do. All are made from the run folder alone, in this process, with everything imported; the command
`meshtrial report` adds Python's start-up and imports.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING

from bench import big_run
from bench.command import meshtrial
from bench.measure import Result, Sample, ratio, say, series, side_by_side
from runner.report.html import write_report
from runner.results.files import collector_paused
from runner.results.store import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable

_MANY, _FEW = 10_000_000, 10_000
_TIME, _CPU = "time", "CPU"


def _timed(work: Callable[[], object]) -> Sample:
    began, spent = perf_counter(), process_time()
    work()
    return {_TIME: perf_counter() - began, _CPU: process_time() - spent}


def _parse(folder: Path) -> None:
    with collector_paused():
        for file in (folder / "trials").iterdir():
            json.loads(gzip.decompress(file.read_bytes()))
    json.loads((folder / "run.json").read_bytes())


def measure(*, quick: bool) -> Result:
    """Run the benchmark."""
    with tempfile.TemporaryDirectory(prefix="meshtrial-bench-") as name:
        say("writing the runs")
        many, few = big_run.write(Path(name), _MANY), big_run.write(Path(name), _FEW)
        number = sum(variant.requests for variant in RunFolder.open(many).document().variants)
        arms: dict[str, Callable[[], Sample]] = {
            "report of ten million requests": lambda: _timed(lambda: write_report(RunFolder.open(many))),
            "report of ten thousand requests": lambda: _timed(lambda: write_report(RunFolder.open(few))),
            "reading and parsing the big run": lambda: _timed(lambda: _parse(many)),
            "meshtrial report, ten million requests": lambda: _timed(lambda: meshtrial("report", str(many))),
        }
        found = side_by_side(arms, 2 if quick else 7)
        big = sum(file.stat().st_size for file in (many / "trials").iterdir())
        page = (many / "report.html").stat().st_size
    ours, small, floor, command = (series(found, arm, _TIME, "s") for arm in arms)
    our_cpu = series(found, "report of ten million requests", _CPU, "s")
    return Result(
        [
            ours.aimed("<= 1"),
            our_cpu,
            small,
            floor,
            command,
            ratio("ten million to ten thousand requests", ours, small),
            ratio("report to reading and parsing alone", ours, floor),
        ],
        [
            f"{number:,} requests in {big_run.BLOCKS} blocks of two variants, {big_run.SECONDS} s each",
            f"trial files of {big / 2**20:.1f} MB gzipped; a page of {page / 1000:.0f} kB",
        ],
    )
