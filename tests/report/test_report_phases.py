"""The section of phases: figures before, during and after, times in sentences, drawings that hold without scripts."""

from __future__ import annotations

import html
import json
import re

import page_reader
import phased_run
import pytest
import sample_run

from runner.report.words import is_share, metric_name
from runner.results.document.run import RunDocument


@pytest.fixture(scope="module")
def run():
    return phased_run.make()


@pytest.fixture(scope="module")
def page(run):
    return page_reader.read(run.html())


def test_the_section_says_what_was_switched_and_what_came_of_it(page):
    section = page.one("section", id="phases")
    assert "10 s before, 10 s with istio/ratings-delay-2s.yaml switched on, 10 s after." in section.text
    assert phased_run.OBJECTIVE in section.text
    slow, timeout = section.find("ul")[0].find("li")
    assert "slow-ratings: The first second that broke the objective was over" in slow.text
    assert "The objective was kept again, three seconds in a row, from" in timeout.text
    assert "#phases" in {link.attributes["href"] for link in page.find("a")}


def test_each_phase_has_its_own_figures(page):
    table = page.one("section", id="phases").find("table")[0]
    heads = [cell.text for cell in table.find("th", scope="col")]
    assert heads == ["Figure", "before", "during", "after"]
    groups = table.find("tbody")
    assert [group.find("th", scope="rowgroup")[0].text for group in groups] == ["slow-ratings", "timeout-500ms"]
    rows = groups[0].rows()
    assert [cell.split()[0] for cell in rows["Requests"]] == ["1,200", "1,080", "1,080"]
    before, during, after = (cell.split()[:2] for cell in rows["p50"])
    assert (before[1], during[1], after[1]) == ("ms", "s", "ms")
    assert float(during[0]) == pytest.approx(2.02, abs=0.2)
    assert [cell.split()[0] for cell in groups[1].rows()["reviews unavailable"]][1].startswith("9")


def test_each_variant_is_drawn_with_the_stretch_that_was_switched(page):
    drawings = page.one("section", id="phases").find("svg", role="img")
    assert len(drawings) == 2
    for drawing in drawings:
        assert "before: median" in drawing.attributes["aria-label"]
        (band,) = drawing.find("g", class_="switched")
        rect = band.find("rect")[0].attributes
        left, width = float(rect["x"]), float(rect["width"])
        # 30 s are drawn from 58 to 612: on from 10.2 to 20.1 s or so
        assert 58 + 554 * 10.1 / 30 < left < 58 + 554 * 10.6 / 30
        assert 9.4 < width * 30 / 554 < 10
        assert len(drawing.find("polyline")) == 2


def test_every_trials_switches_are_told(page):
    trials = page.one("section", id="phases").find("table")[1]
    rows = trials.find("tbody")[0].find("tr")
    assert len(rows) == 12
    first = [cell.text for cell in rows[0].find("td")]
    assert first[1] == "yes"
    assert first[2].startswith("10.")
    assert all(cell.endswith("s") for cell in first[4:])


def test_what_was_switched_is_among_the_manifests_but_no_difference_of_variants(page):
    manifests = page.one("section", id="manifests").text
    assert "istio/ratings-delay-2s.yaml (switched on under load)" in manifests
    assert "fixedDelay: 2s" in manifests


def test_what_never_recovered_says_so():
    page = page_reader.read(phased_run.make(recovers=False).html())
    section = page.one("section", id="phases")
    assert "it did not recover" in section.find("li")[0].text
    assert "never within" in section.find("table")[1].text


def test_a_run_without_phases_has_no_such_section():
    page = page_reader.read(sample_run.make(seconds=4, rate=5).html())
    assert not page.find("section", id="phases")
    assert "#phases" not in {link.attributes.get("href") for link in page.find("a")}


def test_the_document_keeps_its_phases_and_old_ones_are_still_read(run):
    document = run.document
    text = document.model_dump_json()
    assert RunDocument.model_validate_json(text) == document
    old = json.loads(text)
    for variant in old["variants"]:
        del variant["phases"]
        for trial in variant["trials"]:
            del trial["phases"]
    assert RunDocument.model_validate(old).variants[0].phases is None


def test_a_metric_of_a_phase_is_a_share_or_not_as_ever():
    assert metric_name("outcome[a b]@during") == "outcome"
    assert is_share("error_rate@after")
    assert not is_share("p95@after")


def test_the_page_shows_its_phases_in_a_real_browser(run, tmp_path, chromium):
    path = tmp_path / "page.html"
    probe = """<script>
window.addEventListener("load", () => {
  const box = (one) => { const r = one.getBoundingClientRect(); return [r.left, r.right, r.height]; };
  const seen = {
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    drawings: Array.from(document.querySelectorAll("#phases svg[role=img]"), box),
    bands: Array.from(document.querySelectorAll("#phases .switched rect"), box),
    plots: document.querySelectorAll("canvas").length,
    fill: getComputedStyle(document.querySelector("#phases .switched rect")).fill,
  };
  document.body.insertAdjacentHTML("beforeend", "<pre id=probe></pre>");
  document.getElementById("probe").textContent = JSON.stringify(seen);
});
</script></body>"""
    path.write_text(run.html().replace("</body>", probe))
    done = chromium(path, "--dump-dom", "--window-size=900,1400", "--virtual-time-budget=4000")
    assert "Uncaught" not in done.stderr
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout)
    assert found
    seen = json.loads(html.unescape(found[1]))
    assert seen["wide"] == 0
    assert seen["plots"] == 3
    assert len(seen["drawings"]) == len(seen["bands"]) == 2
    for (left, right, height), (start, end, tall) in zip(seen["drawings"], seen["bands"], strict=True):
        assert left < start < end < right
        assert height > tall > 50
    assert seen["fill"] not in {"none", "rgb(0, 0, 0)"}
