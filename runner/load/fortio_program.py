"""fortio's program: where it is, which version, whether it takes our options; all of it before anything is started."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
from typing import TYPE_CHECKING

from runner.errors import DriverError, InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from runner.spec.load_profile import FortioLoad

OLDEST = (1, 60)
"""The first version that reads a header from a file (`-config-dir`), logs in JSON and keeps errors in a histogram of their own."""
HOW_TO_GET_IT = (
    "`go install fortio.org/fortio@v1.68.0` builds it; `fortio: {binary: ...}` names one that is not on PATH"
)
_SPARE_FILES = 64
_ANSWER = 20.0


def find(binary: Path | None, environ: Mapping[str, str]) -> str:
    """The program: the named one, else the one on PATH.

    Raises:
        InputError: the named one can't be run.
        DriverError: there is none.
    """
    if binary is not None:
        if not os.access(binary, os.X_OK):
            raise InputError(Problem(f"fortio.binary: {binary} is no program that can be run"))
        return str(binary)
    found = shutil.which("fortio", path=environ.get("PATH"))
    if found is None:
        raise DriverError("fortio is not on PATH", advice=HOW_TO_GET_IT)
    return found


def version_of(program: Sequence[str], environ: Mapping[str, str]) -> str:
    """Its version; `program` is its name, after what has it run elsewhere.

    Raises:
        DriverError: it does not tell, or is too old.
    """
    printed, binary = _ask([*program, "version"], environ), program[-1]
    found = re.search(r"\b(\d+)\.(\d+)(\.\d+)?\b", printed)
    if not found:
        said = printed.strip().splitlines() or ["nothing"]
        raise DriverError(f"{binary} does not tell its version (it says {said[0]!r})", advice=HOW_TO_GET_IT)
    if (int(found[1]), int(found[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise DriverError(f"{binary} is fortio {found[0]}; {oldest} or newer is needed", advice=HOW_TO_GET_IT)
    return found[0]


def check_options(program: Sequence[str], options: Sequence[str], environ: Mapping[str, str]) -> None:
    """Have fortio read its options; without a URL it says that it misses one, and sends nothing.

    Raises:
        InputError: it does not take them.
    """
    printed = _ask([*program, "load", *options], environ)
    if "needs a URL" not in printed:
        # the complaint stands before its list of options, or after it
        lines = [line.strip() for line in printed.splitlines() if line.strip() and not line.startswith("{")] or [
            "nothing"
        ]
        complaint = lines[-1] if "usage:" in lines[0] else lines[0]
        raise InputError(Problem(f"fortio does not take its options: {complaint}"))


def _ask(command: list[str], environ: Mapping[str, str]) -> str:
    """What a fortio that sends nothing prints."""
    quiet, held = os.pipe()  # a standard input that stays open: its end is what ends a command that runs elsewhere
    try:
        done = subprocess.run(
            command, env=dict(environ), stdin=quiet, capture_output=True, check=False, timeout=_ANSWER
        )
    except OSError as error:
        raise DriverError(f"{command[0]} can't be run: {error.strerror or error}", advice=HOW_TO_GET_IT) from error
    except subprocess.TimeoutExpired as error:
        raise DriverError(f"{command[0]} did not answer in {_ANSWER:.0f} s", advice=HOW_TO_GET_IT) from error
    finally:
        os.close(quiet)
        os.close(held)
    return (done.stdout + done.stderr).decode(errors="replace")


def check_files(connections: int) -> None:
    """Refuse more connections than a process may have files.

    Raises:
        InputError: as said.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and connections > most - _SPARE_FILES:
        raise InputError(
            Problem(
                f"{connections} connections are more than this machine lets a process open ({most} files)",
                suggestion="Raise the limit with `ulimit -n`, or use fewer",
            )
        )


def check_no_files(load: FortioLoad) -> None:
    """Refuse what names files of this machine, for a fortio that runs in a pod.

    Raises:
        InputError: as said.
    """
    given = [key for key in ("binary", "payload_file") if getattr(load, key) is not None]
    if given:
        raise InputError(
            Problem(
                f"fortio.{given[0]}: fortio runs in a pod here, where files of this machine are not",
                suggestion="Use payload"
                if given[0] == "payload_file"
                else "Leave it out: fortio is looked for on the pod's PATH",
            )
        )


def cores_at(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """How many processors can be used at once where a command line runs; 1 when that can't be told."""
    printed = _ask([*command, "nproc"], environ).strip()
    return int(printed) if printed.isdigit() else 1


def cores() -> int:
    """How many processors fortio can use at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
