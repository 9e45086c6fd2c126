"""Working folders: each command its own, and those of dead commands gone, also when process ids tell nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runner.errors import StorageError
from runner.state import state_home, work_directory


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return state_home() / "work"


def test_a_folder_is_there_for_as_long_as_the_context_lasts(home):
    with work_directory() as one, work_directory() as two:
        assert one != two
        (one / "file").write_text("x")
        assert {path.name for path in home.iterdir()} == {one.name, two.name}
    assert list(home.iterdir()) == []


def test_what_a_killed_command_left_is_removed_though_its_process_id_lives(home):
    code = "from runner.state import work_directory\nwith work_directory() as path:\n print(path, flush=True)\n input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        left = Path(child.stdout.readline().strip())
        with work_directory():
            assert left.is_dir(), "a living command's folder stays"
        child.send_signal(signal.SIGKILL)
    mine = home / f"{os.getpid()}-0000"  # as the first process of a pod has the id of every other pod's
    left.rename(mine)
    with work_directory() as path:
        assert list(home.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError, match=r"can't be made: .* Free space, or set XDG_STATE_HOME"), work_directory():
        pass
