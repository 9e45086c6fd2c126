"""Running `meshtrial` as a user does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MESHTRIAL = str(Path(sys.executable).with_name("meshtrial"))


def meshtrial(*arguments: str) -> str:
    """Standard output of a command.

    Raises:
        RuntimeError: it failed; what it said.
    """
    done = subprocess.run([MESHTRIAL, *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"meshtrial {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
