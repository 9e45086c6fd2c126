"""Locust's workers in pods, here in processes that know only what a pod would: everything comes over their standard input."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import sys
import tarfile
import textwrap
from pathlib import Path

import psutil
import pytest

from runner import __version__
from runner.errors import DriverError, InputError
from runner.load.cargo import MOST, pack
from runner.load.drivers import make_driver
from runner.spec.load_profile import Load

POD = Path(__file__).with_name("local_pod.py")
VISITOR = """
    import os
    from pathlib import Path

    from helper import label
    from locust import FastHttpUser, events, task
    from runner.load.feed import Feed

    rows = Feed.csv(Path(__file__).parent / "data" / "rows.csv")
    beside = Path(os.environ["MESHTRIAL_EXPERIMENT"]).with_name("beside.txt").read_text()

    class Visitor(FastHttpUser):
        @task
        def get(self):
            headers = {"X-Process": str(os.getpid()), "X-Row": rows.next()["id"], "X-Beside": beside}
            headers["X-Label"] = label("x")
            headers["X-Declared"] = os.environ.get("DECLARED", "")
            headers["X-Option"] = os.environ.get("LOCUST_OPTION", "")
            headers["X-Secret"] = os.environ.get("SECRET", "")
            self.client.get("/", headers=headers)
"""


@pytest.fixture
def files(tmp_path):
    """A load file with a helper and data, and an experiment in another folder."""
    made = {
        "load/visitor.py": textwrap.dedent(VISITOR),
        "load/helper.py": "def label(text):\n    return text + 'y'\n",
        "load/data/rows.csv": "id\n10\n11\n12\n13\n",
        "trials/exp.yaml": "experiment: exp\n",
        "trials/beside.txt": "beside",
    }
    for name, text in made.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture
def crewed(files):
    """Make a driver whose workers are in pods; all are closed at the end."""
    drivers = []

    def make(number: int | None = None, **keys):
        locust = {"file": files / "load" / "visitor.py", **({"workers": number} if number else {}), **keys}
        environ = {
            **os.environ,
            "MESHTRIAL_EXPERIMENT": str(files / "trials" / "exp.yaml"),
            "DECLARED": "told",
            "LOCUST_OPTION": "opted",
            "SECRET": "kept back",
        }
        driver = make_driver(
            Load.model_validate({"locust": locust, "from": "client"}),
            work_directory=files / "work",
            environ=environ,
            elsewhere=True,
            variables=["DECLARED"],
        )
        drivers.append(driver)
        driver.start()
        return driver

    yield make
    for driver in drivers:
        driver.close()


def pods(number: int, **options: str) -> list[tuple[str, ...]]:
    more = [f"--{key}={value}" for key, value in options.items()]
    return [
        (sys.executable, str(POD), f"--pod=load-{index}", "--port={port}", *more, "--")
        for index in range(1, number + 1)
    ]


def inside(driver) -> list[int]:
    """The processes that run in the pods: what boarded, and the workers that it started."""
    found = []
    for log in sorted(driver._crew._logs.glob("worker-*.log")):
        pid = int(re.search(r"inside: (\d+)", log.read_text())[1])
        found += [pid, *(child.pid for child in psutil.Process(pid).children())]
    return found


def test_workers_in_pods_share_a_load_and_have_the_files_and_variables_that_it_needs(crewed, server, plan_for):
    driver = crewed(2)
    driver.board(pods(2), "an image")
    windows = [driver.drive(plan_for(rate="40/s", seconds=1.0, seed=seed)) for seed in (1, 2)]
    assert [window.scheduled for window in windows] == [40, 40]
    seen = server.seen("/")
    assert len(seen) == 80
    headers = [{key.lower(): value for key, value in one["headers"].items()} for one in seen]
    assert len({one["x-process"] for one in headers}) == 2
    rows = [one["x-row"] for one in headers]
    assert {row: rows.count(row) for row in set(rows)} == {"10": 20, "11": 20, "12": 20, "13": 20}
    (same,) = {
        (one["x-beside"], one["x-label"], one["x-declared"], one["x-option"], one["x-secret"]) for one in headers
    }
    assert same == ("beside", "xy", "told", "opted", "")
    (remark,) = windows[1].remarks
    assert remark.startswith("workers from elsewhere: 2; their clocks differed from this machine's by up to ")


def test_what_was_sent_is_gone_with_the_run(crewed, server, plan_for):
    driver = crewed()
    driver.board(pods(1), "an image")
    driver.drive(plan_for(rate="20/s", seconds=0.5))
    root, within = Path(driver._crew._root(1)), [psutil.Process(pid) for pid in inside(driver)]
    assert len(within) == 2
    assert (root / str(driver._file).lstrip("/")).exists()
    driver.close()
    assert psutil.wait_procs(within, timeout=10)[1] == []
    assert not root.exists()


def test_a_run_that_is_killed_leaves_no_worker_in_a_pod(crewed):
    driver = crewed()
    driver.board(pods(1), "an image")
    within = [psutil.Process(pid) for pid in inside(driver)]
    (way,) = driver._crew._processes
    way.stdin.close()  # as the kernel does with a dead run's
    assert psutil.wait_procs(within, timeout=10)[1] == []


def test_an_image_of_another_version_is_refused(crewed):
    driver = crewed()
    expected = f"this image holds Meshtrial 0.0.1, and the run is of {__version__} \\(image old:1\\). Build the image"
    with pytest.raises(InputError, match=expected):
        driver.board(pods(1, version="0.0.1"), "old:1")
    assert driver._crew._processes == []


def test_a_worker_that_dies_is_named(crewed, server, plan_for):
    driver = crewed(2)
    driver.board(pods(2), "an image")
    worker = psutil.Process(inside(driver)[0]).children()[0]

    def kill(_second):
        worker.send_signal(signal.SIGKILL)

    with pytest.raises(DriverError, match=r"worker 1 of 2 \(load-1\) died: exit code 137; the last that it said"):
        driver.drive(plan_for(rate="20/s", seconds=5.0), kill)


def test_a_pod_that_is_not_reached_is_told_in_its_own_words(crewed):
    driver = crewed()
    with pytest.raises(DriverError, match=r"worker 1 of 1 \(gone\) died: exit code 125; (.|\n)*there is no pod gone"):
        driver.board([("/bin/sh", "-c", "echo there is no pod gone >&2; exit 125", "--pod=gone")], "an image")


def test_a_load_file_that_fails_is_told_before_any_pod_is_asked_for(crewed, files):
    (files / "load" / "helper.py").write_text("raise ValueError('nothing here')\n")
    with pytest.raises(InputError, match=r"helper.py:1.*ValueError: nothing here"):
        crewed()


@pytest.mark.parametrize(
    ("keys", "named"), [({"processes": 2}, "processes"), ({"workers": "external"}, "workers: ext")]
)
def test_other_ways_to_share_are_refused_in_pods(crewed, keys, named):
    with pytest.raises(InputError, match=f"made in pods, which can't be had with {named}.*workers: N"):
        crewed(**keys)


# cargo


def names(cargo: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(cargo)) as archive:
        assert all(member.isreg() for member in archive)
        return {"/" + member.name for member in archive}


def test_cargo_is_what_lies_beside_the_load_file_and_nothing_else(files):
    load = files / "load"
    for name in (".git/config", ".env", "__pycache__/a.pyc", "results/run.json", "results/trials/a", "venv/pyvenv.cfg"):
        (load / name).parent.mkdir(parents=True, exist_ok=True)
        (load / name).write_text("x")
    (load / "linked.csv").symlink_to(files / "trials" / "beside.txt")
    (load / "dangling").symlink_to(files / "nowhere")
    with socket.socket(socket.AF_UNIX) as special:
        special.bind(str(load / "s"))
        found = names(pack([load], [load / ".env"]))
    assert found == {str(load / name) for name in (".env", "visitor.py", "helper.py", "data/rows.csv", "linked.csv")}


def test_too_much_cargo_is_refused_by_its_largest_file(files):
    big = files / "load" / "big.bin"
    with big.open("wb") as file:
        file.truncate(MOST + 1)
    with pytest.raises(InputError, match=rf"too much to send.*the largest is {re.escape(str(big))}.*at most 64 MiB"):
        pack([files / "load"])
