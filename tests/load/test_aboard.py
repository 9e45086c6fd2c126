"""The program that holds a pod for load generators: it ends by itself when no run is there any more."""

import fcntl
import subprocess
import sys
from pathlib import Path

from runner.load import aboard
from runner.load.aboard import Boarding, there


def test_a_pod_is_held_as_long_as_somebody_is_aboard(tmp_path, monkeypatch):
    lock = tmp_path / "lock"
    monkeypatch.setattr(aboard, "_LOOK", 0.01)
    seconds = iter(range(10_000))
    monkeypatch.setattr(aboard.time, "monotonic", lambda: float(next(seconds)))
    looks = []

    def sleep(_seconds):
        looks.append(1)
        if len(looks) == 200:
            holder.close()

    monkeypatch.setattr(aboard.time, "sleep", sleep)
    holder = lock.open("w")
    fcntl.flock(holder, fcntl.LOCK_SH)
    assert aboard.hold(20.0, lock) == 0
    assert 200 < len(looks) < 230


def test_it_imports_neither_locust_nor_gevent_nor_anything_installed():
    code = "import sys, runner.load.aboard; print([n for n in ('locust', 'gevent', 'pydantic', 'yaml') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_boarding_without_a_header_is_cut():
    done = subprocess.run(
        [sys.executable, "-m", "runner.load.aboard", "board"], input=b"", capture_output=True, check=False
    )
    assert done.returncode == aboard.CUT


def test_a_header_is_one_line():
    head = Boarding("1", "/r/x", "/a/b\nc.py", "/", ["--x=\n"], {"A": "\n"}, 3)
    assert head.line().count(b"\n") == 1
    assert there("/r/x", Path("/a/b.py")) == "/r/x/a/b.py"
