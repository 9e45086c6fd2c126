"""Progress: a line that moves on a terminal, plain lines everywhere else, and never a word on standard output."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios

import pytest

SCRIPT = """
import sys, time
from runner.cli.live import console_progress
from runner.conduct.progress import Step
from runner.results.window import Cell, Second

with console_progress("slow-details") as progress:
    progress.message("joined the mesh that is up")
    time.sleep(0.6)
    for number, phase in enumerate(("apply", "measure", "collect", "restore")):
        progress.step(Step(phase, "a-variant-with-a-rather-long-name", 2, 6, 3, 12, 2.0, 30.0))
        second = Second(number)
        second.cells = {"page": {"200": Cell()}}
        progress.second(second)
        time.sleep(0.3)
    progress.stopping(2)
    time.sleep(0.6)
    print("results/the-run-folder")
"""


def on_terminal(environment, columns=80):
    """What a terminal of that width gets on standard error, and what a pipe gets on standard output."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    variables = {
        name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR", "FORCE_COLOR"}
    }
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**variables, "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    shown = b""
    while select.select([ours], [], [], 30)[0]:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the last one with the terminal is gone
            break
        if not part:
            break
        shown += part
    os.close(ours)
    out = process.stdout.read().decode()
    process.stdout.close()
    assert process.wait(30) == 0, shown
    return shown.decode(), out


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}], ids=["colours", "NO_COLOR"])
def test_on_a_terminal_one_line_moves_and_never_wraps(environment):
    shown, out = on_terminal(environment)
    assert out == "results/the-run-folder\n"
    words = plain(shown)
    assert "slow-details  starting the mesh and the load generator" in words
    assert "block 2/6  a-variant-with-a-rather-long-name  measure" in words
    assert "SIGINT: stopping" in words
    assert "the-run-folder" not in words
    lines = [line for line in re.split(r"[\r\n]+", words) if line.strip()]
    assert max(map(len, lines)) <= 80
    assert words.count("joined the mesh that is up") == 1
    assert shown.index("\x1b[?25l") < shown.rindex("\x1b[?25h"), "the cursor comes back"
    assert bool(re.search(r"\x1b\[[0-9;]*3\d", shown)) is (environment == {})


def test_a_dumb_terminal_gets_plain_lines():
    shown, out = on_terminal({"TERM": "dumb"})
    assert shown.replace("\r", "") == "joined the mesh that is up\n"
    assert out == "results/the-run-folder\n"


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1"}, {"GITHUB_ACTIONS": "true"}])
def test_a_log_gets_plain_lines_even_when_colours_are_forced(environment):
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env={**os.environ, **environment}, check=True
    )
    assert plain(found.stderr) == "joined the mesh that is up\n"
    assert "\x1b[2K" not in found.stderr
    assert found.stdout == "results/the-run-folder\n"
