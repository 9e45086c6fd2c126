"""The fortio driver: one run of fortio for each window, its access log read while it goes, its result read when it ends.

A closed loop in any case: a connection waits for its answer before it asks again, so a slow service gets fewer requests and the
latencies do not show who would have waited. `qps` paces the connections; it does not open the loop.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from time import monotonic, time, time_ns
from typing import IO, TYPE_CHECKING, Self

from runner.errors import DriverError, InputError, Problem, StorageError
from runner.load.fortio_command import check_arguments, invocation, options
from runner.load.fortio_log import LiveSeconds, LogTail, seconds_of
from runner.load.fortio_process import FortioProcess
from runner.load.fortio_program import (
    check_files,
    check_no_files,
    check_options,
    cores,
    cores_at,
    find,
    version_of,
)
from runner.load.fortio_result import FortioResult
from runner.load.fortio_said import Said
from runner.results.window import Pace, Second, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from threading import Event

    from runner.load.base import WindowPlan
    from runner.spec.load_profile import FortioLoad

_LOOK = 0.1
_ON_STDERR = Path("/dev/stderr")
_GRACE = 20.0
"""Seconds beyond what a window may take, before a fortio that says nothing counts as hung."""
_ASK_AGAIN = 0.25
"""Seconds between two interrupts: one that comes before fortio listens for it is lost."""


class FortioDriver:
    """Drives `fortio load`."""

    name = "fortio"
    closed_loop_only = True

    def __init__(
        self,
        load: FortioLoad,
        *,
        work_directory: Path,
        environ: Mapping[str, str] | None = None,
        elsewhere: bool = False,
    ) -> None:
        """Find fortio and try its options; nothing is sent.

        Args:
            load: how to ask.
            work_directory: where a window's access log is kept while it is needed.
            environ: the environment for fortio; this process's when None.
            elsewhere: whether it is to run in a pod, which `settle` will name; it is looked for there then.

        Raises:
            InputError: an option is wrong.
            DriverError: fortio is not there, or too old.
        """
        self._load = load
        self._folder = work_directory
        given = os.environ if environ is None else environ
        # LOGGER_ variables change how fortio logs, which is read here
        self._environ = {key: value for key, value in given.items() if not key.startswith("LOGGER_")}
        self._cores = cores()
        self._binary, self.version = "fortio", ""
        check_arguments(load.args)
        if elsewhere:
            check_no_files(load)
            return
        self._binary = find(load.binary, self._environ)
        self.version = version_of([self._binary], self._environ)
        check_files(load.connections)
        check_options([self._binary], options(load), self._environ)

    # Driver

    def settle(self, command: tuple[str, ...]) -> None:
        """See that fortio is there, and takes its options, where it is to run.

        Raises:
            InputError: an option is wrong.
            DriverError: fortio is not there, or too old.
        """
        if command:
            self._binary = "fortio"
            self.version = version_of([*command, self._binary], self._environ)
            check_options([*command, self._binary], options(self._load), self._environ)
            self._cores = cores_at(command, self._environ)

    def start(self) -> None:
        """Nothing to start: each window is a run of its own."""

    def close(self) -> None:
        """Nothing to end: no run outlives its window."""

    def drive(
        self, plan: WindowPlan, watch: Callable[[Second], None] | None = None, stop: Event | None = None
    ) -> Window:
        """Generate load for one window; see `runner.load.base.Driver`."""
        if stop is not None and stop.is_set():
            return self._nothing(drained=True)
        log = self._folder / "fortio-access.log"
        secret = self._folder / "fortio-flags"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            log.unlink(missing_ok=True)
            kept = _ON_STDERR if plan.target.command else log
            run = invocation(self._load, plan.target, plan.seconds, kept if self._load.access_log else None)
            command = [self._binary, "load", *run.arguments[:-1]]
            if run.secret is not None and plan.target.command:
                raise InputError(
                    Problem("fortio in a pod can't be given a header whose value comes from the environment")
                )
            if run.secret is not None:
                secret.mkdir(mode=0o700, exist_ok=True)
                (secret / "H").write_text(run.secret, encoding="utf-8")
                command += ["-config-dir", str(secret)]
        except OSError as error:
            raise StorageError(f"{error.filename}: {error.strerror}") from error
        try:
            return self._run([*command, run.arguments[-1]], plan, log, watch, stop)
        finally:
            with contextlib.suppress(OSError):
                log.unlink(missing_ok=True)
            shutil.rmtree(secret, ignore_errors=True)

    # One run

    def _run(
        self,
        command: list[str],
        plan: WindowPlan,
        log: Path,
        watch: Callable[[Second], None] | None,
        stop: Event | None,
    ) -> Window:
        said = Said()
        live = LiveSeconds(LogTail(log), self._request) if watch and self._load.access_log else None
        deadline, look, ask, stopped = monotonic() + self._longest(plan), 0.0, 0.0, False
        with (
            _Lines(said, log if plan.target.command else None) as lines,
            FortioProcess(command, self._environ, lines.take, plan.target.command) as process,
        ):
            if plan.begun is not None:
                plan.begun(time())
            while process.read(_LOOK):
                now = monotonic()
                if live and watch and now >= look:
                    look = now + _LOOK
                    for second in live.over(time_ns()):
                        watch(second)
                if stop is not None and stop.is_set() and now >= ask:
                    if not stopped:
                        stopped, deadline = True, now + plan.drain
                    process.interrupt()
                    ask = now + _ASK_AGAIN
                if now > deadline:
                    if stopped:
                        break
                    raise DriverError(f"fortio does not come to an end; the last that it said:\n{process.tail}")
            process.kill()
            result = _result(process, said, stopped=stopped)
            if result is None:
                return self._nothing(drained=False)
            return self._window(plan, result, said, log, cpu=process.cpu, stopped=stopped)

    def _window(
        self, plan: WindowPlan, result: FortioResult, said: Said, log: Path, *, cpu: float, stopped: bool
    ) -> Window:
        load = self._load
        remarks: list[str] = []
        if load.access_log:
            try:
                planned = 0.0 if load.requests else plan.seconds
                seconds = seconds_of(
                    LogTail(log), self._request, result.started_ns, min(planned or result.seconds, result.seconds)
                )
            except ValueError as error:
                raise DriverError(f"fortio's access log can't be read: {error}") from error
            logged = _statuses(seconds)
            if logged != result.statuses:
                raise DriverError(f"fortio's access log counts {logged}, and its result {result.statuses}")
        else:
            whole, remarks = result.whole(self._request)
            seconds = [whole]
        said.name_exceptions(seconds)
        if result.connections < load.connections:
            remarks.append(f"fortio lowered its connections from {load.connections} to {result.connections}")
        return Window(
            seconds=seconds,
            length=result.seconds,
            open_loop=False,
            scheduled=0,
            started=result.started_ns / 1e9,
            ended=result.started_ns / 1e9 + result.seconds,
            generator_cpu=cpu,
            generator_cores=self._cores,
            stopped=stopped,
            unmeasured=0 if load.requests else result.connections,
            series=load.access_log,
            pace=self._pace(plan, result.connections, said),
            remarks=remarks,
            native=result.native,
        )

    @staticmethod
    def _nothing(*, drained: bool) -> Window:
        """The window of a run that was stopped before it had anything to tell."""
        now = time()
        return Window(
            seconds=[Second(0)],
            length=0.0,
            open_loop=False,
            scheduled=0,
            started=now,
            ended=now,
            generator_cpu=0.0,
            drained=drained,
            stopped=True,
        )

    @property
    def _request(self) -> str:
        """The name under which its requests are counted."""
        return self._load.grpc or self._load.path

    def _pace(self, plan: WindowPlan, connections: int, said: Said) -> Pace:
        load = self._load
        if load.requests:
            return Pace(load.qps, load.requests, 0.0, said.behind)
        # fortio gives each connection the same whole number of calls
        calls = int(load.qps * plan.seconds) // connections * connections
        return Pace(load.qps, calls, plan.seconds, said.behind)

    def _longest(self, plan: WindowPlan) -> float:
        """Seconds after which a run can't be at work any more, were every request as slow as it may be."""
        load = self._load
        if not load.requests:
            return plan.seconds + plan.drain + _GRACE
        paced = load.requests / load.qps if load.qps else 0.0
        return paced + -(-load.requests // load.connections) * load.timeout + plan.drain + _GRACE


class _Lines:
    """What fortio prints on standard error: words, and from a pod, whose files are out of reach, its access log too."""

    def __init__(self, said: Said, log: Path | None) -> None:
        self._said = said
        self._log = log
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        if self._log is not None:
            self._file = self._log.open("w", encoding="utf-8", buffering=1)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def take(self, text: str) -> bool:
        """Take in a line; true for one of the access log."""
        if self._file is not None and text.startswith('{"latency":'):
            self._file.write(f"{text}\n")
            return True
        self._said.line(text)
        return False


def _result(process: FortioProcess, said: Said, *, stopped: bool) -> FortioResult | None:
    """What fortio printed; None when it was stopped before it could.

    Raises:
        DriverError: it ended without a result, or the result is not whole.
    """
    if said.unread:
        raise DriverError(f"fortio could not read a header from its file: {said.unread}")
    text = bytes(process.output).strip()
    if not text:
        if stopped:
            return None
        raise DriverError(
            f"fortio ended without a result ({process.how_it_ended()}); the last that it said:\n{process.tail}"
        )
    try:
        return FortioResult.parse(text)
    except ValueError as error:
        raise DriverError(f"fortio's result is not whole ({process.how_it_ended()}): {error}") from error


def _statuses(seconds: Sequence[Second]) -> dict[str, int]:
    found: dict[str, int] = {}
    for second in seconds:
        for by_status in second.cells.values():
            for status, cell in by_status.items():
                found[status] = found.get(status, 0) + cell.requests
    return found
