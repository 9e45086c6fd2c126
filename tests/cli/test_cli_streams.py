"""A command in a pipe, without streams, on a full disk: no traceback, and the exit code of what was done."""

import json
import os
import subprocess
from pathlib import Path

import pytest


def shell(desk, text):
    command = " ".join(desk.command())
    return subprocess.run(
        ["/bin/bash", "-c", text.replace("MESHTRIAL", command)],
        cwd=desk.folder,
        env={**os.environ, "XDG_STATE_HOME": str(desk.state), **desk.environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_streams(desk, closed):
    result = shell(desk, f"MESHTRIAL schema {closed}")
    assert result.returncode == 0
    assert result.stderr == ""
    assert bool(result.stdout) is (">&-" not in closed.replace("2>&-", ""))


def test_a_reader_that_goes_away_changes_no_exit_code(desk):
    result = shell(
        desk,
        "MESHTRIAL schema | head -n 1; echo ${PIPESTATUS[0]}; MESHTRIAL plan no.yaml 2>&1 | true; echo ${PIPESTATUS[0]}",
    )
    assert result.stdout.split() == ["{", "0", "2"]
    assert result.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_standard_output_is_told(desk):
    result = shell(desk, "MESHTRIAL schema > /dev/full")
    assert result.returncode == 3
    assert result.stderr == "meshtrial: standard output: No space left on device\n"


def test_nobody_to_tell_is_no_failure(desk):
    assert shell(desk, "MESHTRIAL list 2> /dev/full").returncode == 0


def test_signs_that_the_encoding_lacks_are_escaped(desk):
    desk.environment["PYTHONIOENCODING"] = "ascii"
    desk.write("größe ☃.yaml", "variants: 3\n")
    result = desk.run("validate", "größe ☃.yaml")
    assert result.returncode == 2
    assert r"gr\xf6\xdfe \u2603.yaml:1:11: variants should be a mapping" in result.stderr
    assert json.loads(desk.run("schema").stdout)["title"] == "Meshtrial experiment"
