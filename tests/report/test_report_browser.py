"""The page in a real Chromium: charts drawn, nothing complained of, nothing wider than the window."""

from __future__ import annotations

import json
import struct

import page_reader
import pytest
import sample_run
from hostile import hostile_run

PROBE = """
<script>
window.addEventListener("load", async () => {
  const seen = {};
  const $ = (id) => document.getElementById(id);
  const move = (id, part) => {
    const over = document.querySelector("#" + id + " .u-over"), box = over.getBoundingClientRect();
    for (const name of ["mouseenter", "mousemove"])
      over.dispatchEvent(new MouseEvent(name, { bubbles: true, clientX: box.left + box.width * part, clientY: box.top + 30 }));
  };
  const pixels = (canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer;
  const painted = (canvas) => new Set(new Uint32Array(pixels(canvas))).size;
  seen.page = document.documentElement.scrollWidth;
  seen.window = document.documentElement.clientWidth;
  seen.dark = getComputedStyle(document.body).backgroundColor;
  seen.colours = Array.from(document.querySelectorAll("canvas"), painted);
  move("chart-curves", 0.5);
  seen.curves = $("read-curves").textContent;
  move("chart-latency", 0.02);
  const filter = $("filter");
  if (filter) {
    filter.value = "productpage-v1 rq_timeout";
    filter.dispatchEvent(new Event("input"));
    seen.filtered = $("filter-count").textContent;
    filter.value = "/rq_(timeout|total)$/";
    filter.dispatchEvent(new Event("input"));
    seen.regex = $("filter-count").textContent;
    filter.value = "/(/";
    filter.dispatchEvent(new Event("input"));
    seen.broken = $("filter-count").textContent;
  }
  const buttons = document.querySelectorAll("[data-legend] button");
  seen.legend = Array.from(buttons, (button) => button.textContent);
  buttons[0].click();
  seen.pressed = Array.from(buttons, (button) => button.getAttribute("aria-pressed"));
  window.dispatchEvent(new Event("beforeprint"));
  seen.closed = document.querySelectorAll("details:not([open])").length;
  await Promise.resolve();
  seen.printed = document.querySelector("#chart-curves .u-wrap").style.width;
  window.dispatchEvent(new Event("afterprint"));
  seen.open = document.querySelectorAll("details[open]").length;
  requestAnimationFrame(() => requestAnimationFrame(() => {
    seen.timeline = $("read-timeline").textContent;
    document.body.insertAdjacentHTML("beforeend", "<pre id=probe></pre>");
    $("probe").textContent = JSON.stringify(seen);
  }));
});
</script>
"""


def probe(chromium, tmp_path, html, *flags):
    """Open the page, use it as a reader would, and return what was seen and what Chromium logged."""
    path = tmp_path / "report.html"
    path.write_text(html.replace("</body>", PROBE + "</body>"), encoding="utf-8")
    done = chromium(path, "--dump-dom", "--virtual-time-budget=4000", *flags)
    start, end = done.stdout.index('<pre id="probe">'), done.stdout.rindex("</pre>")
    text = page_reader.read(done.stdout[start : end + len("</pre>")]).one("pre").text
    return json.loads(text), [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


def test_charts_are_drawn_and_can_be_used(chromium, tmp_path, html):
    seen, complaints = probe(chromium, tmp_path, html, "--window-size=1280,900")
    assert complaints == []
    assert len(seen["colours"]) == 3, "curves, rate and latency; no errors chart, as there are no errors"
    assert all(colours > 20 for colours in seen["colours"])
    assert seen["page"] <= seen["window"]
    assert "slow-ratings 2.0" in seen["curves"]
    assert "timeout-500ms 1.0" in seen["curves"]
    assert seen["timeline"].startswith("Block 1, second ")
    assert "10.0 requests/s" in seen["timeline"]
    assert seen["filtered"].startswith("1 of ")
    assert seen["regex"].startswith("5 of ")
    assert seen["broken"].startswith("0 of ")
    assert seen["legend"] == ["slow-ratings", "timeout-500ms"] * 2
    assert seen["pressed"] == ["false", "true", "false", "true"]
    assert (seen["closed"], seen["open"]) == (0, 0)
    assert seen["printed"] == "680px"


def test_errors_get_their_own_chart(chromium, tmp_path):
    run = sample_run.make(sample_run.many(3), blocks=2, seconds=5, rate=30)
    seen, complaints = probe(chromium, tmp_path, run.html(), "--window-size=1280,900")
    assert complaints == []
    assert len(seen["colours"]) == 4
    assert seen["legend"][:3] == ["retries-0", "retries-1", "retries-2"]


@pytest.mark.parametrize("many", [False, True], ids=["two variants", "seven variants"])
def test_on_a_phone_the_page_never_scrolls_sideways(chromium, tmp_path, html, many):
    if many:
        html = sample_run.make(sample_run.many(7), blocks=2, seconds=3, rate=10).html()
    seen, complaints = probe(chromium, tmp_path, html, "--window-size=390,844")
    assert complaints == []
    assert seen["window"] <= 500
    assert seen["page"] <= seen["window"]


def test_dark_is_dark_and_light_is_light(chromium, tmp_path, html):
    light, _ = probe(chromium, tmp_path, html, "--blink-settings=preferredColorScheme=1")
    dark, complaints = probe(chromium, tmp_path, html, "--blink-settings=preferredColorScheme=0")
    assert complaints == []
    assert light["dark"] == "rgb(252, 252, 250)"
    assert dark["dark"] == "rgb(20, 23, 27)"


@pytest.mark.parametrize(
    "flags",
    [
        ("--window-size=1280,2000",),
        ("--window-size=1280,2000", "--blink-settings=preferredColorScheme=0"),
        ("--window-size=390,2000",),
    ],
    ids=["light", "dark", "phone"],
)
def test_it_can_be_photographed(chromium, tmp_path, html, flags):
    path, picture = tmp_path / "report.html", tmp_path / "report.png"
    path.write_text(html, encoding="utf-8")
    chromium(path, f"--screenshot={picture}", *flags)
    head = picture.read_bytes()[:24]
    width, height = struct.unpack(">II", head[16:24])
    assert (f"{width},{height}") in flags[0]
    assert picture.stat().st_size > 50_000, "a page that is not blank"


def test_hostile_names_run_no_script(chromium, tmp_path):
    seen, complaints = probe(chromium, tmp_path, hostile_run().html(), "--window-size=1280,900")
    assert complaints == []
    assert seen["legend"][0].startswith("</script><img src=x onerror=alert(1)>")
