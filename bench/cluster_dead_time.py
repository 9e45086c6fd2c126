"""On a cluster: what a trial takes beside its warm-up and its measured window.

As `dead_time`, on Bookinfo in a namespace of a real cluster: whole runs of an experiment with two variants, one second of warm-up and
one of measurement, watched through the run's own progress reports, from one trial's `apply` to the next one's, less the two seconds.
Each change is confirmed on every sidecar and on the gateway; counters, access logs, istiod's metrics, CPU and memory are read at the
window's edges. Against it stand one `locust --headless -t 2s` of the same file at the same gateway, with nothing applied, checked,
read or kept, and what a script does around that for a variant: `kubectl apply`, sleep 10 s, load, `kubectl delete`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cluster import namespace, use_cluster
from bench.dead_time import EXPERIMENT, LOADFILE, PHASES, RULE, TOTAL, WHAT, in_milliseconds, ours, raw
from bench.measure import Result, Series, ratio, series, side_by_side
from runner.mesh.cluster.app import app_resources
from runner.mesh.cluster.mesh import ClusterMesh
from runner.spec.mesh import ClusterTarget

if TYPE_CHECKING:
    from bench.measure import Sample

_SLEEP = 10.0


def measure(*, quick: bool) -> Result:
    """Run the benchmark."""
    use_cluster()
    with tempfile.TemporaryDirectory(prefix="meshtrial-bench-") as name, namespace("bench") as inside:
        folder = Path(name)
        mesh = f"mesh: {{cluster: {{namespace: {inside}}}}}\n"
        texts = {
            "load.py": LOADFILE,
            "rule.yaml": RULE,
            "dead-time.yaml": mesh + EXPERIMENT.format(blocks=1 if quick else 3),
        }
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
        app = ClusterMesh.open(ClusterTarget(namespace=inside))
        try:
            app.apply(app_resources("bookinfo", inside, {}, {}))
        finally:
            app.close()
        app = ClusterMesh.open(ClusterTarget(namespace=inside))
        try:
            url = app.entry("gateway").url
            proxies = len(app.describe().proxies)
            arms = {
                "a trial": lambda: ours(folder / "dead-time.yaml", folder / "results"),
                "a raw Locust process": lambda: raw(folder / "load.py", url),
            }
            found: dict[str, list[Sample]] = side_by_side(arms, 2 if quick else 5, warm=not quick)
        finally:
            app.close()
    mine, plain = (series(found, arm, TOTAL, "s") for arm in arms)
    script = Series(f"a raw Locust process and a sleep of {_SLEEP:.0f} s", "s", tuple(v + _SLEEP for v in plain.values))
    phases = [in_milliseconds(series(found, "a trial", phase, "s", f"- {WHAT[phase]}")) for phase in PHASES]
    rows = [mine, *phases, plain, script, ratio("trial to raw process", mine, plain)]
    rows.append(ratio("trial to raw process with a sleep", mine, script))
    return Result(rows, [f"{proxies} proxies: those of Bookinfo, a client's, and the ingress gateway's."])
