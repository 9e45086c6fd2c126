"""The made-up runs that the report's tests show, and a real Chromium to show them in."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import sample_run

if TYPE_CHECKING:
    from collections.abc import Callable

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr"),
    "--force-prefers-reduced-motion",
)
SECONDS = 90


@pytest.fixture(scope="session")
def run() -> sample_run.Run:
    return sample_run.make(seconds=10, rate=10)


@pytest.fixture(scope="session")
def html(run: sample_run.Run) -> str:
    return run.html()


@pytest.fixture
def chromium(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Chromium over a page with a profile of its own; returns what it printed."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no chromium on PATH")

    def browse(page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
        profile = tmp_path / "profile"
        command = [program, *FLAGS, f"--user-data-dir={profile}", *flags, page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)

    return browse
