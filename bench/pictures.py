"""The pictures of docs/guide/measuring.md and the figures in its captions: real runs, shown by a real Chromium.

`python -m bench.pictures [NAME...]` makes them all, or those that are named, and renews the page.

Each picture is a run against a server whose truth is known from how it is made, and the sections of its report that matter, as
an image in docs/images; what the caption says of it is read from the same run's document. A picture's text stands between two
markers on the page and is renewed with it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.capacity_truth import queue_server
from bench.latency_honesty import stall_server
from bench.pictures_text import blocks_caption, capacity_caption, loops_caption
from runner.conduct.capacity import CAPACITY as SEARCHES
from runner.conduct.capacity_record import prepared
from runner.conduct.progress import Silent
from runner.conduct.run import RunOptions, run
from runner.report.html import write_report
from runner.results.store import RunFolder
from runner.spec.load import load_experiment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from runner.results.document.run import RunDocument

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "guide" / "measuring.md"
IMAGES = DOCS / "images"
WIDTH = 1000
"""Of the page that is shown, in CSS pixels."""
SCALE = 1.0
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *(
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--force-prefers-reduced-motion",
    ),
    *("--blink-settings=preferredColorScheme=1", "--virtual-time-budget=4000"),
)
_SHOWN = """<style>
body > :not(main), main > :not({sections}) {{ display: none !important; }}
main > section {{ margin-top: 0 !important; padding-top: 1rem !important; }}
{also}
</style>
<script>addEventListener("load", () => setTimeout(() =>
  document.documentElement.dataset.high = Math.ceil(document.querySelector("main").getBoundingClientRect().bottom) + 12, 500));
</script></body>"""

LOOPS = """
experiment: two-loops
question: What do visitors wait at a server that stops for 200 ms every two seconds?
mesh: {{none: {{url: "{url}"}}}}
variants:
  closed-loop: {{load: {{users: 2}}}}
  open-loop: {{load: {{arrivals: {{rate: 200/s}}}}}}
load: {{locust: {{file: load.py}}, arrivals: {{rate: 200/s}}, warmup: 2s, duration: 20s}}
blocks: 3
"""
BLOCKS = """
experiment: four-services
question: Is any of these services slower or faster than the first?
mesh: {{none: {{url: "{usual}"}}}}
variants:
  takes-100-ms: {{}}
  the-same-again: {{url: "{same}"}}
  takes-120-ms: {{url: "{slower}"}}
  one-worker-of-45-ms: {{url: "{single}"}}
load: {{locust: {{file: load.py}}, arrivals: {{rate: 15/s, distribution: poisson}}, warmup: 1s, duration: 9s}}
blocks: 7
checks:
  the-same-again vs takes-100-ms: ["p50 within 10%"]
  takes-120-ms vs takes-100-ms: ["p50 <= +10%"]
"""
CAPACITY = """
experiment: eight-workers
question: How many requests a second does a service with eight workers of 20 ms take?
mesh: {{none: {{url: "{url}"}}}}
variants: {{eight-workers: {{}}}}
load: {{locust: {{file: load.py}}, warmup: 1s}}
capacity: {{objective: "p99 < 250ms and error_rate < 0.1%", from: 20/s, to: 1000/s}}
blocks: 1
checks: {{eight-workers: ["capacity >= 360/s"]}}
"""
_LOAD = """
from locust import FastHttpUser, constant_pacing, task

class Visitor(FastHttpUser):
    wait_time = constant_pacing(0.01)

    @task
    def page(self):
        self.client.get("/")
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture.

    Attributes:
        experiment: the file, with its URLs to be filled in.
        servers: starts what is put under load; the URLs.
        sections: of the report, by their id, that are shown.
        described: for those who don't see it.
        caption: what its run says.
        also: style that leaves out what is not wanted of those sections.
    """

    experiment: str
    servers: Callable[[], AbstractContextManager[dict[str, str]]]
    sections: tuple[str, ...]
    described: str
    caption: Callable[[RunDocument], str]
    also: str = ""


@contextlib.contextmanager
def _stalls() -> Iterator[dict[str, str]]:
    with stall_server() as url:
        yield {"url": url.rstrip("/")}


@contextlib.contextmanager
def _eight() -> Iterator[dict[str, str]]:
    with queue_server(8, 0.020) as url:
        yield {"url": url}


@contextlib.contextmanager
def _four() -> Iterator[dict[str, str]]:
    services = {"usual": (8, 0.100), "same": (8, 0.100), "slower": (8, 0.120), "single": (1, 0.045)}
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(queue_server(*made)) for name, made in services.items()}


PICTURES = {
    "loops": Picture(
        LOOPS,
        _stalls,
        ("latency",),
        "Latency by percentile: the closed loop stays flat almost to the end, the open loop rises from the 90th percentile on",
        loops_caption,
        ".readout, .how { display: none !important; }",
    ),
    "blocks": Picture(
        BLOCKS,
        _four,
        ("comparisons",),
        "Comparisons of three services with the first: estimate, interval, a tick for each block, and the verdict word",
        blocks_caption,
        ".how, .comparisons + .comparisons, .comparisons li:is(:nth-child(2), :nth-child(3)) { display: none !important; }",
    ),
    "capacity": Picture(
        CAPACITY,
        _eight,
        ("capacity",),
        "Latency against the arrival rate with bounds and knee, and the rates that the search tried in order",
        capacity_caption,
        "details { display: none !important; }",
    ),
}


def main() -> int:
    """Make the pictures that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench.pictures", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PICTURES)}; all without one")
    names = parser.parse_args().names or list(PICTURES)
    unknown = [name for name in names if name not in PICTURES]
    if unknown:
        parser.error(f"no picture {', '.join(unknown)}; there are {', '.join(PICTURES)}")
    for name in names:
        picture = PICTURES[name]
        with tempfile.TemporaryDirectory(prefix="meshtrial-pictures-") as folder:
            os.environ["XDG_STATE_HOME"] = folder
            document, report = _run(picture, Path(folder))
            image = IMAGES / f"{name}.png"
            shoot(report, picture.sections, image, picture.also)
        text = f"![{picture.described}](../images/{name}.png)\n\n{picture.caption(document)}\n\n{_provenance(name)}"
        renew(name, text)
        print(f"{name}: {image} ({image.stat().st_size / 1000:.0f} kB)\n{picture.caption(document)}\n", flush=True)
    return 0


def _run(picture: Picture, folder: Path) -> tuple[RunDocument, Path]:
    (folder / "load.py").write_text(_LOAD, encoding="utf-8")
    with picture.servers() as urls:
        path = folder / "experiment.yaml"
        path.write_text(picture.experiment.format(**urls), encoding="utf-8")
        experiment = load_experiment(path)
        method = SEARCHES if experiment.experiment.capacity else None
        options = RunOptions(results=folder / "results", seed=1)
        done = run(prepared(experiment) if method else experiment, options, Silent(), method=method)
    return done.document, write_report(RunFolder(done.folder))


def shoot(report: Path, sections: tuple[str, ...], image: Path, also: str = "") -> None:
    """Show some sections of a report in Chromium, on white, as an image as high as they are.

    Raises:
        FileNotFoundError: there is no Chromium on PATH.
        subprocess.CalledProcessError: it failed.
    """
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise FileNotFoundError("there is no chromium on PATH")
    selectors = ", ".join(f"#{section}" for section in sections)
    page = report.with_name("shown.html")
    shown = _SHOWN.replace("{sections}", selectors).replace("{also}", also).replace("{{", "{").replace("}}", "}")
    page.write_text(report.read_text(encoding="utf-8").replace("</body>", shown), encoding="utf-8")
    with tempfile.TemporaryDirectory() as profile:
        command = [program, *_FLAGS, f"--user-data-dir={profile}"]
        dom = [*command, f"--window-size={WIDTH},800", "--dump-dom", page.as_uri()]
        text = subprocess.run(dom, capture_output=True, text=True, check=True, timeout=90).stdout
        high = re.search(r'<html[^>]* data-high="(\d+)"', text)
        size = f"--window-size={WIDTH},{high[1] if high else 800}"
        picture = [*command, size, f"--force-device-scale-factor={SCALE}", f"--screenshot={image}", page.as_uri()]
        subprocess.run(picture, capture_output=True, check=True, timeout=90)


def _provenance(name: str) -> str:
    return f"*Made by `python -m bench.pictures {name}`, {datetime.now(UTC):%Y-%m-%d}.*"


def renew(name: str, text: str, page: Path = PAGE) -> None:
    """Put a picture and its caption between their markers on the page.

    Raises:
        ValueError: the page has no such markers.
    """
    begin, end = f"<!-- picture {name} -->", f"<!-- end of picture {name} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    if not found or end not in rest:
        raise ValueError(f"{page} has no place for the picture {name}: {begin} and {end}")
    page.write_text(before + begin + "\n" + text + "\n" + end + rest.partition(end)[2], encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
