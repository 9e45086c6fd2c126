"""Tests that must not pass, put to Meshtrial, k6, Chaos Toolkit and Taurus.

Each case asks whether a page stays quick (p95 below 1 s), whole and without errors, in a situation that can't prove it: a fault
that never fires, no traffic, a generator that can't make the load, evidence that is not there, a target that refuses. A tool
passes wrongly when it exits with 0. The same settings and scripts serve the controls, where all is well and every tool should
pass. All share one embedded mesh; faults come and go by `meshtrial mesh apply` and `delete` in place of kubectl: k6 is wrapped in
them, Chaos Toolkit calls them as actions and rollbacks, Taurus as shell services. What each is asked is in
`bench/wrong_passes_peers.py`: k6 with arrivals at a constant rate and thresholds on failures, p95, checks of the page's text, requests
made and iterations dropped; Chaos Toolkit with http probes of status and text, continuously; Taurus with Locust and criteria on failures
and p95 (looked at every second from the first on, so none can ask for a total number of requests). In the column "k6, delay
asserted" somebody also thought of a threshold that the fault's own delay must be seen
(`med>300`), which a tool that does not look at the proxies leaves to its user; Taurus could be told the same by `p50<300ms`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.command import meshtrial as command
from bench.measure import Result, Table, say
from bench.wrong_passes_cases import BASE, CASES, QUICK, Case
from bench.wrong_passes_peers import INSTALLS, Answer, Place, chaos_toolkit, k6, meshtrial, program, taurus
from runner.state import meshes_home
from runner.yamlfile.dialect import to_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TAKEN_AFTER = 1.0
"""Seconds after a fault was applied until somebody takes it away."""
_FAULTY = ("reviews-v2", "9080.json", "http_proxy.json")
"""The proxy that calls ratings, and its route configs."""


@contextlib.contextmanager
def _target(mode: str) -> Iterator[str]:
    """A plain target's URL; `closed` is a port that was free a moment ago."""
    serving = "well" if mode == "closed" else mode
    with subprocess.Popen(
        [sys.executable, "-m", "bench.wrong_passes_target", serving], stdout=subprocess.PIPE
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else b""
            if not line:
                raise RuntimeError(f"the target {mode} did not start")
            if mode == "closed":
                process.kill()
                process.wait()
            yield f"http://127.0.0.1:{int(line)}"
        finally:
            process.kill()


class _Thief(threading.Thread):
    """Puts a proxy's route configs back to what they were, a second after each time that a fault came into them."""

    def __init__(self, mesh: str) -> None:
        super().__init__(daemon=True)
        proxy, *names = _FAULTY
        folder = meshes_home() / mesh / proxy / "rds"
        self._files = {folder / name: (folder / name).read_bytes() for name in names}
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.02):
            if any(b"fixed_delay" in path.read_bytes() for path in self._files) and not self._over.wait(_TAKEN_AFTER):
                for path, content in self._files.items():
                    fresh = path.with_suffix(".taken")
                    fresh.write_bytes(content)
                    fresh.rename(path)  # Envoy watches for renames

    def stop(self) -> None:
        """End."""
        self._over.set()
        self.join()


def _tools() -> tuple[dict[str, Callable[[Case, Place], Answer]], list[str]]:
    """By column, how to ask; and what could not be installed."""
    tools: dict[str, Callable[[Case, Place], Answer]] = {"Meshtrial": meshtrial}
    found = {peer: program(peer) for peer in INSTALLS}
    if binary := found["k6"]:
        tools["k6"] = partial(k6, binary)
        tools["k6, delay asserted"] = partial(_only_with_a_delay, partial(k6, binary, symptom=True))
    if binary := found["chaostoolkit"]:
        tools["Chaos Toolkit"] = partial(chaos_toolkit, binary)
    if binary := found["bzt"]:
        tools["Taurus"] = partial(taurus, binary)
    return tools, [f"{peer} could not be installed and is left out" for peer, path in found.items() if path is None]


def _only_with_a_delay(ask: Callable[[Case, Place], Answer], case: Case, place: Place) -> Answer:
    return ask(case, place) if case.symptom else Answer(None)


def _ask(case: Case, tool: Callable[[Case, Place], Answer], gateway: str, mesh: str) -> Answer:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meshtrial-bench-")))
        url = gateway if case.apply is not None else stack.enter_context(_target(case.target))
        if case.taken_away:
            thief = _Thief(mesh)
            thief.start()
            stack.callback(thief.stop)
        try:
            return tool(case, Place(url, folder))
        except subprocess.TimeoutExpired:
            return Answer(124, "did not end")


@contextlib.contextmanager
def _mesh() -> Iterator[tuple[str, str]]:
    """A mesh that is up: its gateway's URL and its name."""
    shutil.rmtree(meshes_home(), ignore_errors=True)
    gateway = command("mesh", "up").strip().splitlines()[-1]
    try:
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder) / "base.yaml"
            base.write_text("---\n".join(to_yaml(item) for item in BASE))
            command("mesh", "apply", "-f", str(base))
        yield gateway, next(meshes_home().iterdir()).name
    finally:
        command("mesh", "down")


def _shown(case: Case, answer: Answer) -> str:
    """A cell: a wrong answer stands out."""
    if answer.code is None:
        return f"({answer.text})" if answer.text else ""
    word = "passes" if answer.passed else f"no ({answer.code})"
    if answer.text and not answer.passed:
        word += f" {answer.text}"
    return word if answer.passed == case.passes else f"**{word}**"


def _summary(answers: dict[str, dict[str, Answer]], cases: list[Case], tools: list[str]) -> Table:
    rows = []
    for passes, what in ((False, "passed wrongly, of the cases that it could be asked"), (True, "controls passed")):
        cells = []
        for tool in tools:
            mine = [answers[case.name][tool] for case in cases if case.passes is passes]
            asked = [answer for answer in mine if answer.code is not None]
            cells.append(f"{sum(answer.passed for answer in asked)} of {len(asked)}")
        rows.append((what, *cells))
    return Table("All cases together", ("", *tools), rows)


def measure(*, quick: bool = False) -> Result:
    """Put every case to every tool."""
    controls, faulty = ([case for case in CASES if case.passes is passes] for passes in (True, False))
    cases = [*controls[:1], *faulty[::QUICK]] if quick else [*controls, *faulty]
    only = os.environ.get("WRONG_PASSES_ONLY", "")
    cases = [case for case in cases if only in case.name]
    tools, notes = _tools()
    answers: dict[str, dict[str, Answer]] = {}
    with _mesh() as (gateway, mesh):
        for case in cases:
            answers[case.name] = {}
            for name, tool in tools.items():
                say(f"{case.name}: {name}")
                answers[case.name][name] = _ask(case, tool, gateway, mesh)
    say("")
    rows = [(case.name, case.group, *(_shown(case, answers[case.name][tool]) for tool in tools)) for case in cases]
    tables = [_summary(answers, cases, list(tools)), Table("Case by case", ("case", "group", *tools), rows)]
    return Result(notes=[*_NOTES, *notes], tables=tables)


_NOTES = (
    "**bold** is the wrong answer; the number is the exit code; Meshtrial's verdict and reason stand beside its own",
    "(in brackets): the tool has no means to ask, or sends no load of its own; not counted",
)
