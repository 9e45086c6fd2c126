"""A recorded mix of requests, asked for in the proportions in which it was recorded, or in its order.

Give the recording as `--recorded FILE`, or in the environment as `LOADFILE_RECORDED`; a relative path is looked for beside the experiment
file, then in the working directory. It is an access log (of Envoy, Istio, nginx, Apache; text or JSON), or a list with a line for each
path, `[METHOD] PATH [WEIGHT]`:

    args: ["--recorded", "access.log"]

Of a log only GET and HEAD are asked for again, for it has no bodies; `--methods GET,HEAD,POST` says otherwise. `--in-order` asks in the
log's order, from its beginning in every window. Requests are named by method and path, without query, with `:id` for numbers and other
ids. Runs in plain Locust too: `locust -f loadfiles/path_mix.py --host http://127.0.0.1:8000 --recorded access.log`.
"""

from __future__ import annotations

import json
import logging
import os
import random
import re
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from locust import FastHttpUser, between, events, task

from runner.load.feed import Feed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from locust.argument_parser import LocustArgumentParser
    from locust.env import Environment

logger = logging.getLogger(__name__)

_METHOD = "GET|HEAD|OPTIONS|POST|PUT|PATCH|DELETE"
_IN_QUOTES = re.compile(rf'"({_METHOD}) (\S+)(?: HTTP/[\d.]+)?"')
_LISTED = re.compile(rf"(?:({_METHOD})\s+)?(/\S*)(?:\s+(\d+(?:\.\d+)?|\.\d+))?", re.IGNORECASE)
_METHOD_KEYS = ("method", "request_method", "RequestMethod")
_PATH_KEYS = ("path", "request_uri", "uri", "RequestPath")
_ID = re.compile(r"\d+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|(?=[a-zA-Z]*\d)[0-9a-fA-F]{12,}")


class Entry(NamedTuple):
    """What is asked for."""

    method: str
    path: str

    @property
    def name(self) -> str:
        """What it is counted under: few names, however many ids there are."""
        plain = "/".join(":id" if _ID.fullmatch(part) else part for part in self.path.partition("?")[0].split("/"))
        return plain if self.method == "GET" else f"{self.method} {plain}"


def read(text: str, methods: set[str]) -> Iterator[tuple[Entry | None, float]]:
    """The requests of a recording, each with its weight (1 in a log); None for a line of a log that is none of them.

    Args:
        text: a log, or a list.
        methods: of a log's requests, those to ask for again.

    Raises:
        ValueError: a line of a list is not `[METHOD] PATH [WEIGHT]`.
    """
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("{") or '"' in line:
            entry = _logged(line)
            yield (entry if entry and entry.method in methods else None), 1.0
            continue
        found = _LISTED.fullmatch(line)
        if not found or (found[3] and not float(found[3])):
            raise ValueError(
                f"line {number}: {line[:80]!r} is neither of an access log nor [METHOD] PATH [WEIGHT], such as GET /cart 3"
            )
        yield Entry((found[1] or "GET").upper(), found[2]), float(found[3] or 1)


def _logged(line: str) -> Entry | None:
    """The request of a line of an access log."""
    method = path = ""
    if line.startswith("{"):
        try:
            data = json.loads(line)
        except ValueError:
            return None
        method, path = (
            next((str(data[key]) for key in keys if data.get(key)), "") for keys in (_METHOD_KEYS, _PATH_KEYS)
        )
        line = f'"{data.get("request") or ""}"'
    if not path:
        found = _IN_QUOTES.search(line)
        method, path = (found[1], found[2]) if found else ("", "")
    if "://" in path.partition("?")[0]:  # as a proxy is asked
        parts = urlsplit(path)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Entry(method, path) if path.startswith("/") else None


def load(name: str, methods: set[str]) -> list[tuple[Entry, float]]:
    """The requests of a recording's file.

    Raises:
        ValueError: it is not there, or holds no requests.
    """
    folders = [Path(os.environ["MESHTRIAL_EXPERIMENT"]).parent] if "MESHTRIAL_EXPERIMENT" in os.environ else []
    file = next((path for folder in (*folders, Path.cwd()) if (path := folder / name).is_file()), None)
    if file is None:
        raise ValueError(f"--recorded {name}: no such file beside the experiment or in {Path.cwd()}")
    try:
        lines = list(read(file.read_text(encoding="utf-8", errors="replace"), methods))
    except ValueError as error:
        raise ValueError(f"--recorded {name}: {error}") from None
    entries = [(entry, weight) for entry, weight in lines if entry is not None]
    if not entries:
        raise ValueError(
            f"--recorded {name}: none of its {len(lines)} lines is a request with {' or '.join(sorted(methods))}"
        )
    if len(entries) < len(lines):
        logger.warning("%s: %d of %d lines are left out", name, len(lines) - len(entries), len(lines))
    return entries


@events.init_command_line_parser.add_listener
def add_arguments(parser: LocustArgumentParser) -> None:
    """Add this file's own arguments to Locust's."""
    parser.add_argument("--recorded", env_var="LOADFILE_RECORDED", default="", help="an access log, or a list of paths")
    parser.add_argument(
        "--methods", env_var="LOADFILE_METHODS", default="GET,HEAD", help="of a log, separated by commas"
    )
    parser.add_argument("--in-order", action="store_true", default=False, help="as recorded, instead of a mix")


@events.init.add_listener
def read_arguments(environment: Environment, **_others: Any) -> None:
    """Read the recording once its name is known; a mistake in it ends Locust before it sends anything."""
    options = environment.parsed_options
    if not options.recorded:
        raise ValueError("--recorded is missing: an access log, or a list of [METHOD] PATH [WEIGHT]")
    recorded = load(options.recorded, {method.strip().upper() for method in options.methods.split(",")})
    mix: dict[Entry, float] = {}
    for entry, weight in recorded:
        mix[entry] = mix.get(entry, 0.0) + weight
    Visitor.entries, Visitor.weights = list(mix), list(accumulate(mix.values()))
    Visitor.in_order = Feed([entry for entry, _ in recorded]) if options.in_order else None


class Visitor(FastHttpUser):
    """Asks for one recorded request after the other."""

    wait_time = between(0.5, 1.5)
    entries: list[Entry]
    weights: list[float]
    in_order: Feed[Entry] | None

    @task
    def request(self) -> None:
        """One request."""
        drawn = self.in_order.next() if self.in_order else random.choices(self.entries, cum_weights=self.weights)[0]
        self.client.request(drawn.method, drawn.path, name=drawn.name)
