"""Load shared by Locust's own master and workers: real processes, on loopback only."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from importlib import metadata

import msgpack
import psutil
import pytest
import zmq

from runner import __version__
from runner.errors import DriverError, InputError
from runner.load import wire
from runner.load.locust_workers import LocalWorkers

VISITOR = """
    import os
    from locust import FastHttpUser, events, task

    @events.init_command_line_parser.add_listener
    def _(parser):
        parser.add_argument("--colour", default="none")

    class Visitor(FastHttpUser):
        @task
        def get(self):
            self.client.get("/", headers={"X-Process": str(os.getpid())})

        def on_stop(self):
            print("said goodbye", flush=True)
"""
OTHER_PLUGIN = """
    import locust, runner, time
    {before}
    from runner.load.child import agent
    agent.install()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def descendants(driver) -> list[int]:
    workers = driver._crew._processes if isinstance(driver._crew, LocalWorkers) else []
    return [driver._process._process.pid, *(process.pid for process in workers)]


def gone(pids: list[int], patience: float = 10.0) -> list[int]:
    alive = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    return [process.pid for process in psutil.wait_procs(alive, timeout=patience)[1]]


@pytest.fixture
def workers(tmp_path):
    """Start `locust --worker` by the command that the driver gives; all are ended by the fixture."""
    started = []

    def start(driver, *, plugin: str | None = None, change=lambda command: command, prefix=()):
        command = shlex.split(driver._crew.command)
        assert command[:2] == ["locust", "--worker"]
        if plugin is not None:
            file = tmp_path / "elsewhere" / "locust_plugin.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(textwrap.dedent(OTHER_PLUGIN).format(before=plugin))
            at = command.index("-f") + 1
            command[at] = f"{file},{command[at].split(',')[1]}"
        log = (tmp_path / f"elsewhere-{len(started)}.log").open("wb")
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", *change(command)], stdout=log, stderr=subprocess.STDOUT
        )
        log.close()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(10)


@pytest.fixture
def external(drive):
    def make(text: str = VISITOR, *, expect: int = 1, wait: str = "60s", **keys):
        master = {"port": free_port(), "wait": wait}
        return drive(text, workers="external", master=master, expect=expect, **keys)

    return make


class HandMadeWorker:
    """Speaks Locust's protocol by itself, to do what no real worker does."""

    def __init__(self, port: int) -> None:
        self._name = f"by-hand_{os.getpid()}"
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, self._name.encode())
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVTIMEO, 10_000)
        self._socket.connect(f"tcp://127.0.0.1:{port}")
        self._stop = threading.Event()
        self._asking = threading.Thread(target=self._ask)

    def join(self, driver, **other) -> None:
        """Ask to be taken, as something that is like the driver's own but for `other`."""
        colour = hashlib.sha256(repr("none").encode()).hexdigest()[:16]
        digest = hashlib.sha256(driver._file.read_bytes()).hexdigest()
        self._join = wire.Join(
            "by-hand", os.getpid(), metadata.version("locust"), ["Visitor"], [], digest, {"colour": colour}, ""
        )
        self._join = dataclasses.replace(self._join, **other)
        self._asking.start()

    def _ask(self) -> None:
        """As real workers do: the master may not listen yet."""
        self._tell("client_ready", metadata.version("locust"))
        while not self._stop.wait(0.2):
            self._tell(wire.JOIN, [__version__, wire.encode(self._join)])

    def _tell(self, kind: str, data: object) -> None:
        self._socket.send(msgpack.dumps((kind, data, self._name)))

    def _quieten(self) -> None:
        self._stop.set()
        self._asking.join(10)

    def say(self, number: int, message: wire.Message) -> None:
        self._quieten()
        self._tell(wire.LINE, [number, wire.encode(message)])

    def hear(self, kind: type) -> wire.Message:
        self._quieten()
        while True:
            what, data, _ = msgpack.loads(self._socket.recv())
            if what == wire.LINE and isinstance(message := wire.decode(data), kind):
                return message

    def close(self) -> None:
        self._quieten()
        self._socket.close()
        self._context.term()


@pytest.fixture
def by_hand():
    made = []

    def make(driver, **other):
        worker = HandMadeWorker(driver._crew._port)
        made.append(worker)
        worker.join(driver, **other)
        return worker

    yield make
    for worker in made:
        worker.close()


def by_process(server) -> Counter:
    return Counter(one["headers"]["X-Process"] for one in server.seen("/"))


def test_workers_share_one_schedule_and_count_what_the_server_saw(drive, plan_for, server, tmp_path):
    driver = drive(VISITOR, workers=2)
    driver.start()
    everyone = descendants(driver)
    seen = []
    window = driver.drive(
        plan_for(rate="60/s", seconds=2, headers={"X-Secret": "s3cret"}), watch=lambda second: seen.append(second.due)
    )
    requests = server.seen("/")
    assert len(requests) == window.scheduled == window.whole().due == window.whole().cells["/"]["200"].requests == 120
    assert set(by_process(server).values()) == {60}
    assert set(by_process(server)) == {str(pid) for pid in everyone[1:]}
    assert (len(seen), sum(seen)) == (2, 120)
    assert {one["headers"]["X-Secret"] for one in requests} == {"s3cret"}
    assert not any("s3cret" in " ".join(psutil.Process(pid).cmdline()) for pid in everyone)
    again = driver.drive(plan_for(users=3, rate=None, seconds=0.3))
    assert again.whole().cells["/"]["200"].requests == len(server.seen("/")) - 120 > 0
    driver.close()
    assert gone(everyone, 0.0) == []
    for number in (1, 2):
        assert "said goodbye" in (tmp_path / "work" / f"worker-{number}.log").read_text()


def test_a_local_worker_that_is_killed_ends_the_window_with_its_name(drive, plan_for):
    driver = drive(VISITOR, workers=2)
    driver.start()
    everyone = descendants(driver)

    with pytest.raises(
        DriverError, match=rf"process {everyone[2]}\) of 2 died: killed by SIGKILL; the last that it said"
    ):
        driver.drive(plan_for(seconds=30), watch=lambda _: os.kill(everyone[2], signal.SIGKILL))
    driver.close()
    assert gone(everyone) == []


def test_external_workers_take_part_and_one_that_is_killed_is_missed(external, workers, plan_for, server, caplog):
    driver = external(expect=2, args=["--colour", "green"])
    first, second = workers(driver), workers(driver)
    with caplog.at_level(logging.WARNING):
        driver.start()
    assert f"2 Locust workers at 127.0.0.1:{driver._crew._port}; start each with: {driver._crew.command}" in caplog.text
    window = driver.drive(plan_for(rate="60/s"))
    assert window.scheduled == window.whole().cells["/"]["200"].requests == len(server.seen("/")) == 60
    assert by_process(server) == {str(first.pid): 30, str(second.pid): 30}
    (remark,) = window.remarks
    assert "workers from elsewhere: 2; their clocks differed from this machine's by up to " in remark

    with pytest.raises(DriverError, match=rf"of 2 \({socket.gethostname()}, process {first.pid}\) is silent: it died"):
        driver.drive(plan_for(seconds=30), watch=lambda _: first.kill())
    driver.close()
    assert second.wait(10) == 0


def test_a_worker_of_another_version_is_refused_before_anything_starts(external, workers, server, tmp_path):
    driver = external()
    process = workers(driver, plugin="runner.__version__ = '0.0.1'")
    with pytest.raises(InputError) as caught:
        driver.start()
    told = f"the worker {socket.gethostname()} runs Meshtrial 0.0.1, and this is {__version__}"
    assert told in str(caught.value)
    assert f"Install Meshtrial {__version__} where it runs" in str(caught.value)
    assert process.wait(10) == 1
    assert told in (tmp_path / "elsewhere-0.log").read_text()
    assert server.seen("/") == []


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"locust": "2.0.0"}, f"runs Locust 2.0.0, and this is {metadata.version('locust')}"),
        ({"loadfile": "0" * 64}, "has a load file with other content"),
        ({"options": {"colour": "red"}}, "was started with another --colour"),
    ],
)
def test_a_worker_that_would_do_something_else_is_refused_before_anything_starts(external, by_hand, other, told):
    driver = external()
    worker = by_hand(driver, **other)
    with pytest.raises(InputError, match=told) as caught:
        driver.start()
    assert f"the worker by-hand, process {os.getpid()}, " in str(caught.value)
    assert told in worker.hear(wire.Unfit).reason


def test_too_few_workers_in_time_say_how_to_start_one(external):
    driver = external(expect=3, wait="100ms")
    with pytest.raises(DriverError, match=r"0 of 3 Locust workers at 127\.0\.0\.1:") as caught:
        driver.start()
    assert f"Start each with: {driver._crew.command}" in str(caught.value)


def test_a_port_that_is_taken_is_said(drive):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        driver = drive(VISITOR, workers="external", master={"port": port})
        with pytest.raises(DriverError, match=rf"can't listen on 127.0.0.1:{port}: Address already in use"):
            driver.start()


def monotonic_elsewhere() -> list[str]:
    """A command before which makes the monotonic clock an hour ahead, where the kernel lets us."""
    command = ["unshare", "--time", "--monotonic", "3600", "--"]
    able = (
        shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    )
    return command if able else []


def test_clocks_that_are_off_are_corrected(external, workers, plan_for, server):
    elsewhere = monotonic_elsewhere()
    if not elsewhere:
        pytest.skip("this kernel gives no time namespace to make a second clock with")
    driver = external()
    workers(driver, prefix=elsewhere, plugin="real = time.time; time.time = lambda: real() + 3")
    driver.start()
    before = time.time()
    window = driver.drive(plan_for(rate="50/s", seconds=2))
    assert "by up to 3.0 s, corrected to within " in window.remarks[0]
    assert [second.due for second in window.seconds] == [50, 50]
    assert len(server.seen("/")) == 100
    assert before < window.started < window.ended < time.time()
    at = sorted(one["at"] for one in server.seen("/"))
    assert 1.9 < at[-1] - at[0] < 3.0
    driver.close()


@pytest.mark.parametrize(
    ("clock", "told"),
    [
        (wire.Clock(0.4, 0.0, 0.0), r"is 400 ms away and back, .*\. Run the master nearer to its workers"),
        (wire.Clock(0.001, 0.0, -30.0), r"has a clock that is 30\.0 s behind\. Let NTP keep the time"),
    ],
)
def test_a_clock_that_says_nothing_sure_is_an_error_with_advice(external, clock, told):
    crew = external()._crew
    crew.see([(1, wire.Hello(7, "worker", 1, "2", [], [], name="far-away, process 7"))])
    with pytest.raises(DriverError, match=rf"worker 1 of 1 \(far-away, process 7\) {told}"):
        crew.see([(1, clock)])


def test_what_a_worker_said_and_never_arrived_is_missed(external, plan_for, by_hand):
    driver = external()
    worker = by_hand(driver)
    driver.start()
    worker.say(3, wire.Tick(1, 0, 0))
    with pytest.raises(DriverError, match=r"worker 1 of 1 \(by-hand, .*told 2 things that never arrived"):
        driver.drive(plan_for())


def test_no_death_of_the_driver_leaves_load_or_a_local_worker_behind(tmp_path, server):
    (tmp_path / "load_under_test.py").write_text(textwrap.dedent(VISITOR))
    port = free_port()
    script = f"""
        from pathlib import Path
        from runner.load.base import Target, WindowPlan
        from runner.load.drivers import make_driver
        from runner.spec.load_profile import Arrivals, Load

        here = Path({str(tmp_path)!r})
        for workers in (1, "external"):
            keys = {{"master": {{"port": {port}}}}} if workers == "external" else {{}}
            locust = {{"file": here / "load_under_test.py", "workers": workers, **keys}}
            driver = make_driver(Load.model_validate({{"locust": locust}}), work_directory=here / str(workers))
            if workers == "external":
                print(driver._crew.command, flush=True)
            driver.start()
            print(driver._process._process.pid, *(one.pid for one in getattr(driver._crew, "_processes", [])), flush=True)
        driver.drive(WindowPlan(Target("{server.url}"), 60.0, 1, Arrivals.model_validate({{"rate": "20/s"}})))
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True) as parent:
        everyone = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(everyone) == 2
        command = shlex.split(parent.stdout.readline())
        with subprocess.Popen([sys.executable, "-m", *command], stderr=subprocess.DEVNULL) as external_worker:
            everyone += [int(pid) for pid in parent.stdout.readline().split()]
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and not server.seen("/"):
                time.sleep(0.02)
            assert server.seen("/")
            parent.kill()
            try:
                assert gone([*everyone, external_worker.pid]) == []
            finally:
                external_worker.kill()
