"""Start-up of the command line.

`meshtrial --help` against `locust --help`, the tool it drives, and against `python -c pass`, below which no Python
command can go. People and scripts call a command many times an hour; what it imports before it knows what is asked is
the whole of that wait. Time is from the start of the process to its end; CPU time stands beside it because it does not
depend on what else the machine does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from time import perf_counter

from bench.command import MESHTRIAL
from bench.measure import Result, Sample, ratio, series, side_by_side

_COMMANDS = {
    "meshtrial --help": [MESHTRIAL, "--help"],
    "locust --help": [str(Path(sys.executable).with_name("locust")), "--help"],
    "python -c pass": [sys.executable, "-c", "pass"],
}


def _run(command: list[str]) -> Sample:
    began = perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    took = perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return {"time": took, "CPU": usage.ru_utime + usage.ru_stime}


def measure(*, quick: bool) -> Result:
    """Run the benchmark."""
    arms = {name: partial(_run, command) for name, command in _COMMANDS.items()}
    found = side_by_side(arms, 3 if quick else 15)
    ours, theirs, bare = (series(found, name, "time", "s") for name in _COMMANDS)
    our_cpu, their_cpu, bare_cpu = (series(found, name, "CPU", "s") for name in _COMMANDS)
    return Result(
        [
            ours.aimed("<= 0.15"),
            theirs,
            bare,
            ratio("meshtrial to locust, time", ours, theirs),
            our_cpu,
            their_cpu,
            bare_cpu,
            ratio("meshtrial to locust, CPU", our_cpu, their_cpu),
        ]
    )
