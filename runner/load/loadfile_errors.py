"""Why Locust did not come up with the user's file: its log, read for the sentence a user can act on.

Locust prints a traceback when a file can't be loaded and a line of its own for the rest; both name what is wrong, but
not in one place.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import DriverError, InputError, Position, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

_TRACEBACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+)')
_EXCEPTION = re.compile(r"^(?P<kind>[A-Za-z_][\w.]*)(?:: (?P<words>.*))?$")
_LOG_LINE = re.compile(r"^\[\d{4}-\d\d-\d\d ")
_USAGE = re.compile(r"error: (?P<words>.*)")
_EXIT_OF_ARGUMENT_PARSER = 2
_TAIL_LINES = 15


def tail(log: str, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log that say something."""
    return "\n".join([line for line in log.splitlines() if line.strip()][-lines:])


def _last_traceback(log: str) -> tuple[list[tuple[str, int]], str] | None:
    """Frames (file, line) and the exception's own words of the last traceback in a log."""
    begin = log.rfind(_TRACEBACK)
    if begin < 0:
        return None
    frames: list[tuple[str, int]] = []
    words: list[str] = []
    for line in log[begin:].splitlines()[1:]:
        frame = _FRAME.match(line)
        if frame and not words:
            frames.append((frame["file"], int(frame["line"])))
        elif words and (_LOG_LINE.match(line) or line.startswith(_TRACEBACK)):
            break
        elif words or (not line.startswith(" ") and _EXCEPTION.match(line)):
            words.append(line)
    return frames, "\n".join(words).strip()


def _within(file: str, folder: Path) -> bool:
    path = Path(file)
    return path.is_relative_to(folder) and "site-packages" not in path.parts


def unknown_users(loadfile: Path, wanted: Sequence[str], log: str) -> InputError:
    """The error for names of user classes that the file does not have."""
    names = re.search(r"Unknown User\(s\): (.*)", log)
    unknown = names[1].split(", ") if names else list(wanted)
    known = re.findall(r"^class +(\w+)", loadfile.read_text(errors="replace"), flags=re.MULTILINE)
    problems = []
    for name in unknown:
        close = difflib.get_close_matches(name.strip(), known, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Its classes: {', '.join(known)}" if known else None
        problems.append(Problem(f"{loadfile} has no user class {name.strip()}", suggestion=hint))
    return InputError(problems)


def explain(loadfile: Path, users: Sequence[str], exit_code: int | None, log: str) -> InputError | DriverError:
    """The error to raise when Locust ended before it was up.

    Args:
        loadfile: the user's file, absolute.
        users: names of user classes that were asked for.
        exit_code: of Locust's process.
        log: everything it printed.
    """
    traceback = _last_traceback(log)
    if traceback:
        frames, words = traceback
        own = [(file, line) for file, line in frames if _within(file, loadfile.parent)]
        if own:
            where = Position(*own[-1], 1)
            return InputError(Problem(f"the load file can't be loaded: {words}", where=where))
    if "No User class found" in log:
        return InputError(
            Problem(
                f"{loadfile} has no user class",
                expected="a class that inherits from HttpUser, FastHttpUser or another User and is not abstract",
            )
        )
    if "Unknown User(s)" in log:
        return unknown_users(loadfile, users, log)
    usage = _USAGE.search(log)
    if exit_code == _EXIT_OF_ARGUMENT_PARSER and usage:
        return InputError(Problem(f"Locust does not take these arguments: {usage['words']}"))
    if exit_code is not None and exit_code >= 0 and not traceback:
        return InputError(Problem(f"Locust ended while it loaded {loadfile} (exit code {exit_code}):\n{tail(log)}"))
    return DriverError(
        f"Locust did not start (exit code {exit_code}):\n{tail(log)}", advice="The lines above are the end of its log"
    )
