"""The command: run the named benchmarks (all without a name), print what they found, and with `--write` renew the page."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from time import monotonic

from bench.page import renew, section, table

NAMES = (
    "start",
    "mesh_up",
    "apply",
    "throughput",
    "dead_time",
    "report",
    "latency_honesty",
    "latency_fault",
    "cost",
    "memory",
    "statistics_false_alarms",
    "statistics_power",
    "statistics_coverage",
    "merge_workers",
    "capacity_truth",
    "wrong_passes",
)
"""Each is a module here with a docstring and `measure(*, quick: bool) -> Result`."""

ON_A_CLUSTER = ("cluster_apply", "cluster_dead_time", "locust_jobs")
"""The same, but they need a cluster with Istio, the rig or another, and run only when they are named."""


def main() -> int:
    """Run what was asked for; 0 also when an aim is missed, which is a finding and no failure."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(NAMES)}, all without one; on a cluster {', '.join(ON_A_CLUSTER)}",
    )
    parser.add_argument("--quick", action="store_true", help="few and short repeats: to see that it works")
    parser.add_argument("--write", action="store_true", help="renew docs/benchmarks.md")
    options = parser.parse_args()
    known = NAMES + ON_A_CLUSTER
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    command = " ".join(["python -m bench", *options.names, *(["--quick"] if options.quick else []), "--write"])
    for name in options.names or NAMES:
        module = importlib.import_module(f"bench.{name}")
        load, began = os.getloadavg()[0], monotonic()
        # meshes, journals and logs of a benchmark are never mixed with the user's own
        with tempfile.TemporaryDirectory(prefix="meshtrial-bench-") as state:
            os.environ["XDG_STATE_HOME"] = state
            result = module.measure(quick=options.quick)
        docstring = (module.__doc__ or "").strip()
        print(f"{name}: {docstring.partition('.')[0]}\n\n{table(result)}\n")
        for note in result.notes:
            print(f"- {note}")
        print(f"  ({monotonic() - began:.0f} s)\n", flush=True)
        if options.write:
            renew(name, section(name, docstring, result, command, (load, os.getloadavg()[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
