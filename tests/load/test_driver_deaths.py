from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from runner.errors import DriverError

GOOD = """
    from locust import FastHttpUser, task

    class Visitor(FastHttpUser):
        @task
        def get(self):
            self.client.get("/")
"""
SPINNING = """
    from locust import FastHttpUser, task

    class Visitor(FastHttpUser):
        @task
        def get(self):
            print("spinning", flush=True)
            while True:
                pass
"""


def gone(pids: list[int], patience: float = 10.0) -> list[int]:
    """Those of the processes that still run after `patience` seconds."""
    alive = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    return [process.pid for process in psutil.wait_procs(alive, timeout=patience)[1]]


def family(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_child_that_dies_midway_is_told_with_the_end_of_its_log(drive, plan_for, processes):
    driver = drive(GOOD + '    print("something to read")\n', processes=processes)
    driver.start()
    everyone = family(driver._process._process.pid)

    def kill(_second):
        os.kill(everyone[-1], signal.SIGKILL)

    with pytest.raises(DriverError) as caught:
        driver.drive(plan_for(seconds=30), watch=kill)
    assert caught.value.exit_code == 3
    assert "Locust died in the middle of a window" in str(caught.value)
    assert "something to read" in str(caught.value)
    driver.close()
    assert gone(everyone) == []


def test_a_loadfile_that_quits_locust_is_told(drive, plan_for):
    driver = drive(GOOD.replace('self.client.get("/")', "self.environment.runner.quit()"))
    driver.start()
    with pytest.raises(DriverError, match=r"died in the middle of a window \(exit code 0\)"):
        driver.drive(plan_for(seconds=30))


@pytest.mark.parametrize(("text", "processes"), [(GOOD, 2), (SPINNING, 1)])
def test_no_death_of_the_parent_leaves_a_child(tmp_path, server, text, processes):
    (tmp_path / "load_under_test.py").write_text(textwrap.dedent(text))
    script = f"""
        from pathlib import Path
        from runner.load.base import Target, WindowPlan
        from runner.load.drivers import make_driver
        from runner.spec.load_profile import Arrivals, Load

        here = Path({str(tmp_path)!r})
        load = Load.model_validate({{"locust": {{"file": here / "load_under_test.py", "processes": {processes}}}}})
        driver = make_driver(load, work_directory=here)
        driver.start()
        print(driver._process._process.pid, flush=True)
        driver.drive(WindowPlan(Target("{server.url}"), 60.0, 1, Arrivals.model_validate({{"rate": "20/s"}})))
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True) as parent:
        everyone = family(int(parent.stdout.readline()))
        assert len(everyone) == (1 if processes == 1 else 1 + processes)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not (
            server.seen("/") or b"spinning" in (tmp_path / "locust.log").read_bytes()
        ):
            time.sleep(0.02)
        parent.kill()
    assert gone(everyone) == []


def test_close_leaves_nothing_behind_and_may_be_called_twice(drive, plan_for, tmp_path):
    driver = drive(GOOD)
    driver.start()
    driver.drive(plan_for(seconds=0.2))
    everyone = family(driver._process._process.pid)
    driver.close()
    assert gone(everyone, 0.0) == []
    driver.close()
    assert [file.name for file in (tmp_path / "work").iterdir()] == ["locust.log"]
    assert "Shutting down (exit code 0)" in (tmp_path / "work" / "locust.log").read_text()
