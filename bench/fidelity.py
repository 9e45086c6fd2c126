"""The same experiments on the embedded mesh and on a cluster, compared by our own block statistics: docs/fidelity.md's table.

`python -m bench.fidelity [--namespace bookinfo] [--blocks N] [EXPERIMENT...]` runs each shipped experiment on both meshes with one
seed, so that the order of trials and the arrivals are the same, and takes one difference per block: cluster minus local. Compared is
what ought to agree: shares of statuses and of outcomes, counters of faults and those that the experiment's checks read per request,
which request waits how long (the median, and what a fault adds to it). KUBECONFIG says which cluster; `make cluster-up` gives one.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from runner.analysis.evidence import TrialEvidence
from runner.analysis.measure import measure
from runner.analysis.signed_rank import hodges_lehmann, shift_interval
from runner.results.counters import increases
from runner.results.histogram import Histogram
from runner.results.store import RunFolder
from runner.spec.load import load_experiment
from runner.spec.mesh import GENERATOR_CPU_VARIABLE, GENERATOR_IMAGE_VARIABLE
from runner.spec.metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.results.trial import TrialFile
    from runner.spec.checks import Check

PAGE = Path(__file__).parents[1] / "docs" / "fidelity.md"
EXPERIMENTS = (
    "request-timeout",
    "delay-fault",
    "delay-fault-fixed",
    "abort-fault",
    "traffic-shifting",
    "traffic-mirroring",
    "authorization",
    "mutual-tls",
    "circuit-breaker-fortio",
)
NAMESPACES = {"mutual-tls": "default"}
"""Where an experiment runs that names its services by namespace, as the guide does."""
RIGS = {GENERATOR_IMAGE_VARIABLE: "docker.io/local/meshtrial:1", GENERATOR_CPU_VARIABLE: "100m"}
"""What Locust's workers in pods need on the rig's one node, where the environment says nothing else."""
SEED = 7
SHARE, COUNTER = 0.05, 0.05
"""Margins: five points of a share; one event in twenty requests."""
LATENCY, LATENCY_RATIO = 25.0, 0.10
"""Margins of a median: 25 ms or 10 %, whichever is more; proxies and apps are not equally fast on both."""
_FAULTS = re.compile(r"fault\.(delays|aborts)_injected$")
_INBOUND = "cluster.inbound|9080||;.upstream_rq_total"
_TABLE = re.compile(r"(<!-- fidelity -->\n)(.*)(<!-- end of fidelity -->)", re.DOTALL)
_DONE = (0, 1, 5)
_ONE = {"requests": "request"}


@dataclass(frozen=True, slots=True)
class Value:
    """One figure of one trial.

    Attributes:
        value: the figure.
        unit: `share`, `per request` or `ms`.
    """

    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    experiment: str
    what: str
    local: str
    cluster: str
    difference: str
    word: str


def figures(trial: TrialFile) -> dict[str, Value]:
    """What one trial showed, by name."""
    whole = trial.window.whole()
    found: dict[str, Value] = {}
    requests = sum(cell.requests for by_status in whole.cells.values() for cell in by_status.values())
    for name, by_status in sorted(whole.cells.items()):
        total = sum(cell.requests for cell in by_status.values())
        for status, cell in by_status.items():
            found[f"{name}: status {status}"] = Value(cell.requests / total, "share")
        merged = Histogram.merged(cell.response for cell in by_status.values())
        if merged.count:
            found[f"{name}: p50"] = Value((merged.quantile(0.5) or 0.0) / 1000, "ms")
        for label, number in whole.outcomes.get(name, {}).items():
            found[f"{name}: {label}"] = Value(number / total, "share")
    for proxy, after in sorted(trial.stats_after.items()):
        before = trial.stats_before.get(proxy, {})
        for stat, number in after.items():
            if _FAULTS.search(stat):
                key = f"{proxy} {stat.rpartition('.fault.')[2] or stat}"
                moved = number - before.get(stat, 0) + (found[key].value * requests if key in found else 0)
                found[key] = Value(moved / requests, "per request")
        if _INBOUND in after and proxy.startswith("reviews"):
            found[f"{proxy} reached"] = Value((after[_INBOUND] - before.get(_INBOUND, 0)) / requests, "per request")
    return found


def checked(trial: TrialFile, checks: Sequence[Check]) -> dict[str, Value]:
    """The counters that the variant's checks read: for each request, or for each of those that a check says it should equal."""
    evidence = TrialEvidence(
        trial.block,
        trial.attempt,
        trial.variant,
        trial.window,
        increases=increases(trial.stats_before, trial.stats_after),
        known={proxy: frozenset(names) for proxy, names in trial.stats_after.items()},
    )
    found: dict[str, Value] = {}
    for check in checks:
        sides = [side for side in (check.metric, check.operand) if isinstance(side, Metric)]
        for counter in [side for side in sides if side.name == "proxy" and check.variant == trial.variant]:
            moved = measure(counter, [evidence]).value
            of = next((side for side in sides if side.name != "proxy"), Metric("requests"))
            total = measure(of, [evidence]).value
            if moved is not None and total is not None:
                each = moved / total if total else float(moved == total)
                found[f"`{counter}` per {_ONE.get(of.name, of)}".replace("|", "\\|")] = Value(each, "per request")
    return found


def run(experiment: str, mesh: list[str], results: Path) -> RunFolder:
    """One run; its verdict does not matter here, only that it came to its end."""
    command = [
        sys.executable,
        "-m",
        "runner.cli.main",
        "run",
        "--quick",
        "--seed",
        str(SEED),
        "--results",
        str(results),
        *mesh,
    ]
    done = subprocess.run(
        [*command, f"experiments/{experiment}.yaml"],
        env={**RIGS, **os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in _DONE:
        raise SystemExit(f"{experiment} {' '.join(mesh)}: exit {done.returncode}\n{done.stderr[-3000:]}")
    return RunFolder.open(Path(done.stdout.strip().splitlines()[-1]))


def trials(folder: RunFolder, checks: Sequence[Check]) -> dict[tuple[str, int], dict[str, Value]]:
    """By variant and block, what the last attempt showed."""
    kept: dict[tuple[str, int], TrialFile] = {}
    for trial in folder.trials():
        place = trial.variant, trial.block
        if place not in kept or trial.attempt > kept[place].attempt:
            kept[place] = trial
    return {place: figures(trial) | checked(trial, checks) for place, trial in kept.items()}


def added(found: dict[tuple[str, int], dict[str, Value]], baseline: str) -> None:
    """Put beside each median what it has more than the baseline's of the same block."""
    for (variant, block), values in found.items():
        if variant != baseline:
            before = found.get((baseline, block), {})
            for name in [name for name in values if name.endswith(": p50") and name in before]:
                more = values[name].value - before[name].value
                values[f"{name} more than {baseline}"] = Value(more, "ms")


def compare(experiment: str, local: RunFolder, cluster: RunFolder) -> list[Row]:
    """One row for each figure that both showed."""
    checks = load_experiment(Path(f"experiments/{experiment}.yaml")).checks
    here, there = trials(local, checks), trials(cluster, checks)
    names = [variant.name for variant in local.document().variants]
    added(here, names[0])
    added(there, names[0])
    rows = []
    for variant in names:
        blocks = sorted(block for name, block in here if name == variant and (name, block) in there)
        known = {name for block in blocks for name in (*here[variant, block], *there[variant, block])}
        for name in sorted(known):
            pairs = [(here[variant, block].get(name), there[variant, block].get(name)) for block in blocks]
            row = _row(experiment, f"{variant}: {name}", pairs)
            if row:
                rows.append(row)
    return rows


def _row(experiment: str, what: str, pairs: list[tuple[Value | None, Value | None]]) -> Row | None:
    unit = next((one.unit for pair in pairs for one in pair if one), "share")
    if unit != "share" and any(one is None for pair in pairs for one in pair):
        return None  # a counter that one of them does not keep, or a request that nobody made
    if not any(one.value for pair in pairs for one in pair if one):
        return None
    zero = Value(0.0, unit)
    both = [((one or zero).value, (other or zero).value) for one, other in pairs]
    differences = [other - one for one, other in both]
    middle = [median(side) for side in zip(*both, strict=True)]
    margin = (
        max(LATENCY, LATENCY_RATIO * max(map(abs, middle)))
        if unit == "ms"
        else {"share": SHARE, "per request": COUNTER}[unit]
    )
    estimate, interval = hodges_lehmann(differences), shift_interval(differences)
    if interval is None:
        word = f"too few blocks ({len(differences)})"
    elif -margin <= interval[0] and interval[1] <= margin:
        word = "equivalent"
    elif interval[0] > 0 or interval[1] < 0:
        word = "different"
    else:
        word = "inconclusive"
    show = _shown(unit)
    span = f" ({show(interval[0])} to {show(interval[1])})" if interval else ""
    return Row(experiment, what, show(middle[0]), show(middle[1]), f"{show(estimate)}{span}", word)


def _shown(unit: str) -> Callable[[float], str]:
    return {
        "share": lambda value: f"{100 * value:.1f} %",
        "per request": lambda value: f"{value:.3f}",
        "ms": lambda value: f"{value:.1f} ms",
    }[unit]


def write(rows: list[Row], envoys: str) -> None:
    """Renew the rows of the experiments that were run; those of others stay."""
    page = PAGE.read_text(encoding="utf-8")
    renewed = {row.experiment for row in rows}
    kept = [row for row in _rows_of(page) if row.experiment not in renewed]
    rows = sorted([*kept, *rows], key=lambda row: EXPERIMENTS.index(row.experiment))
    head = "| experiment | variant: what | local | cluster | cluster - local (95 % interval) | |\n|--|--|--|--|--|--|\n"
    body = "".join(f"| {' | '.join(dataclasses.astuple(row))} |\n" for row in rows)
    said = ", ".join(f"{number} {word}" for word, number in Counter(row.word for row in rows).items())
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    text = f"{head}{body}\n{len(rows)} figures: {said}. `python -m bench.fidelity`, {when}; {envoys}.\n"
    PAGE.write_text(_TABLE.sub(lambda found: found[1] + text + found[3], page), encoding="utf-8")


def _rows_of(page: str) -> list[Row]:
    found = _TABLE.search(page)
    lines = [
        line.removeprefix("| ").removesuffix(" |").split(" | ") for line in (found[2] if found else "").splitlines()
    ]
    return [Row(*cells) for cells in lines if len(cells) == len(dataclasses.fields(Row)) and cells[0] in EXPERIMENTS]


def main() -> None:
    """Run everything and renew the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.fidelity", description=__doc__)
    parser.add_argument("--namespace", default="bookinfo", help="of Bookinfo; mutual-tls has its own")
    parser.add_argument("--blocks", help="more of them than --quick has, where chance decides")
    parser.add_argument("experiments", nargs="*", default=list(EXPERIMENTS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="meshtrial-fidelity-") as folder:
        for name in given.experiments:
            blocks = ["--blocks", given.blocks] if given.blocks else []
            namespace = NAMESPACES.get(name, given.namespace)
            local = run(name, ["--fresh", *blocks], Path(folder) / "local")
            cluster = run(name, ["--mesh", "cluster", "--namespace", namespace, *blocks], Path(folder) / "cluster")
            envoys = f"Envoy {local.document().mesh.envoy} here, {cluster.document().mesh.envoy} there"
            rows = compare(name, local, cluster)
            write(rows, envoys)
            for row in rows:
                sys.stdout.write(f"{' | '.join(dataclasses.astuple(row))}\n")


if __name__ == "__main__":
    main()
