"""Any list of URLs, with methods and weights, for a service that needs no script.

Give the list as `--urls`, or in the environment as `LOADFILE_URLS`; entries are separated by commas or lines, each is
`[METHOD] URL [WEIGHT]`, and a URL is a path of the host or absolute:

    args: ["--urls", "/, /status/503 2, POST /anything 1"]

`--body` (`LOADFILE_BODY`) is sent with POST, PUT and PATCH, as JSON when it is JSON. Runs in plain Locust too:
`locust -f loadfiles/http.py --host http://127.0.0.1:8000 --urls "/, /headers 2"`.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from locust import FastHttpUser, between, events, task

if TYPE_CHECKING:
    from locust.argument_parser import LocustArgumentParser
    from locust.env import Environment

METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}
WITH_BODY = {"POST", "PUT", "PATCH"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One URL of the list."""

    method: str
    url: str
    weight: float


def parse(text: str) -> list[Entry]:
    """The entries of a list.

    Raises:
        ValueError: an entry is not `[METHOD] URL [WEIGHT]`, or there is none.
    """
    entries = []
    for part in text.replace("\n", ",").split(","):
        words = part.split()
        if not words:
            continue
        method = words.pop(0).upper() if words[0].upper() in METHODS else "GET"
        weight = words.pop() if len(words) > 1 else "1"
        good = len(words) == 1 and words[0].startswith(("/", "http://", "https://"))
        if not good or not weight.replace(".", "", 1).isdigit() or float(weight) <= 0:
            raise ValueError(f"--urls: {part.strip()!r} is not [METHOD] URL [WEIGHT], such as /health or POST /login 2")
        entries.append(Entry(method, words[0], float(weight)))
    if not entries:
        raise ValueError("--urls: the list is empty")
    return entries


@events.init_command_line_parser.add_listener
def add_arguments(parser: LocustArgumentParser) -> None:
    """Add this file's own arguments to Locust's."""
    parser.add_argument(
        "--urls", env_var="LOADFILE_URLS", default="/", help="[METHOD] URL [WEIGHT], separated by commas"
    )
    parser.add_argument("--body", env_var="LOADFILE_BODY", default="", help="sent with POST, PUT and PATCH")


@events.init.add_listener
def read_arguments(environment: Environment, **_others: Any) -> None:
    """Read the list once it is known; a mistake in it ends Locust before it sends anything."""
    options = environment.parsed_options
    Client.entries = parse(options.urls)
    Client.weights = [entry.weight for entry in Client.entries]
    Client.body = options.body
    try:
        json.loads(options.body)
        Client.content_type = "application/json"
    except ValueError:
        Client.content_type = "text/plain; charset=utf-8"


class Client(FastHttpUser):
    """Asks for one URL of the list after the other, each as often as its weight says."""

    wait_time = between(0.5, 1.5)
    entries: list[Entry]
    weights: list[float]
    body: str
    content_type: str

    @task
    def request(self) -> None:
        """One request."""
        entry = random.choices(self.entries, self.weights)[0]
        name = entry.url if entry.method == "GET" else f"{entry.method} {entry.url}"
        extra: dict[str, Any] = {}
        if self.body and entry.method in WITH_BODY:
            extra = {"data": self.body.encode(), "headers": {"Content-Type": self.content_type}}
        self.client.request(entry.method, entry.url, name=name, **extra)
