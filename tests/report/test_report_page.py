from __future__ import annotations

import re
import sys
from itertools import pairwise

import page_reader
import pytest
import sample_run
from hostile import HOSTILE, hostile_run

from runner.report.assets import own
from runner.report.html import render
from runner.results.document.run import GuardrailRecord, MeshRecord, RunDocument, Verdict
from runner.results.document.trial import Invalid, TrialRecord
from runner.results.document.variant import VariantRecord

SECTIONS = [
    *("checks", "variants", "comparisons", "latency", "timeline", "edges", "proxies", "manifests", "trials"),
    *("missing", "run", "glossary"),
]


@pytest.fixture(scope="module")
def page(html):
    return page_reader.read(html)


def test_the_page_has_all_its_sections_in_order_and_links_to_them(page):
    assert [section.attributes["id"] for section in page.find("section")] == SECTIONS
    links = {link.attributes["href"] for link in page.one("nav").find("a")}
    assert links == {f"#{name}" for name in SECTIONS if name != "missing"}
    ids = [element.attributes["id"] for element in page.find() if "id" in element.attributes]
    assert len(ids) == len(set(ids))


def test_the_question_and_the_verdict_come_first_in_a_sentence_with_sign_and_word(page, run):
    header = page.one("header")
    assert header.one("h1").text == run.document.question
    verdict = header.one("div", class_="verdict unsure")
    assert verdict.one("p", class_="word").text == "? Inconclusive"
    assert verdict.one("p", class_="headline").text == run.document.headline.replace("`", "")
    assert verdict.one("p", class_="why").text == run.document.reason.replace("`", "")
    assert page.one("title").text == "Inconclusive: request-timeout"


@pytest.mark.parametrize(
    ("verdict", "word"),
    [
        (Verdict.PASS, "✓ Pass"),
        (Verdict.FAIL, "✗ Fail"),
        (Verdict.INCONCLUSIVE, "? Inconclusive"),
        (Verdict.ABORTED, "■ Aborted"),
        (Verdict.ERROR, "! Error"),
    ],
)
def test_every_verdict_has_a_sign_and_a_word(run, verdict, word):
    html = render(run.document.model_copy(update={"verdict": verdict}), [], {})
    assert page_reader.read(html).one("p", class_="word").text == word


def test_nothing_outside_the_page_is_named_in_a_place_that_would_be_loaded(page, html):
    for element in page.find():
        for name in ("src", "srcset", "action", "data", "poster", "ping", "background", "formaction"):
            assert name not in element.attributes, (element.tag, name)
        assert not [name for name in element.attributes if name.startswith("on")]
        target = element.attributes.get("href")
        assert target is None or target.startswith(("#", "data:")), target
    styles = "".join(str(style.inside) for style in page.find("style"))
    assert "@import" not in styles
    assert "url(" not in styles
    (found,) = [meta for meta in page.find("meta") if meta.attributes.get("http-equiv") == "Content-Security-Policy"]
    assert found.attributes["content"].startswith(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    )
    assert html.count("var uPlot = (function") == 1


def test_uplot_is_read_without_importing_its_package(html):
    assert html
    assert "uplot" not in sys.modules
    assert "IPython" not in sys.modules


def test_structure_is_accessible(page):
    assert page.one("html").attributes["lang"] == "en"
    assert len(page.find("main")) == len(page.find("header")) == len(page.find("footer")) == len(page.find("h1")) == 1
    levels = [int(element.tag[1]) for element in page.find() if re.fullmatch(r"h[1-6]", element.tag)]
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    for section in page.find("section"):
        assert page.find("h2", id=section.attributes["aria-labelledby"])
    for table in page.find("table"):
        assert table.one("caption").text
        assert all(head.attributes["scope"] in {"col", "row", "rowgroup"} for head in table.find("th"))
        width = len(table.one("thead").find("th"))
        for row in table.find("tr"):
            cells = [cell for cell in row.inside if isinstance(cell, page_reader.Element)]
            assert sum(int(cell.attributes.get("colspan") or 1) for cell in cells) == width
    for picture in page.find("svg"):
        assert picture.attributes.get("aria-hidden") == "true" or picture.attributes.get("aria-label")
    for box in page.find("div", class_="scroll"):
        assert box.attributes["tabindex"] == "0"
        assert box.attributes["aria-label"]


def test_checks_are_in_a_table_with_what_was_observed_and_why(page, run):
    rows = page.one("section", id="checks").one("table").rows()
    assert len(rows) == len(run.document.checks)
    for check in run.document.checks:
        outcome, observed, reason = rows[check.check]
        assert outcome.endswith(check.outcome)
        assert (observed, reason) == (" ".join(check.observed.split()), " ".join(check.reason.split()))


def test_variants_stand_side_by_side_with_intervals(page, run):
    section = page.one("section", id="variants")
    table = section.find("table")[0]
    assert [head.text for head in table.one("thead").find("th")] == ["Figure", "slow-ratings baseline", "timeout-500ms"]
    groups = {
        body.find("th", scope="rowgroup")[0].text.split(" share of")[0].split(" response")[0]: body.rows()
        for body in table.find("tbody")
    }
    assert groups["Traffic"]["Requests"] == ["600 6 trials", "600 6 trials"]
    assert groups["Traffic"]["Rate"] == ["10.0/s", "10.0/s"]
    assert groups["Status codes"]["200"] == ["100 % 600 requests", "100 % 600 requests"]
    showed = groups["What the pages showed"]["reviews unavailable"]
    assert showed[0] == "0 % 0 requests"
    assert re.fullmatch(r"9\d(\.\d)? % 9[\d.]+ to 9[\d.]+ %", showed[1])
    slow, fast = groups["Latency"]["p50 (median)"]
    assert re.fullmatch(r"2\.0\d s 2\.0\d to 2\.0\d s", slow)
    assert re.fullmatch(r"1\.0\d s 1\.0\d to 1\.0\d s", fast)
    assert list(groups["Latency"]) == ["p50 (median)", "p75", "p90", "p95", "p99", "p99.9", "mean", "max"]
    assert "from the moment a request was due" in table.text
    assert "Service time" in table.text
    assert run.document.variants[0].load in section.text


def test_a_closed_loop_is_labelled():
    run = sample_run.make(blocks=1, seconds=2, rate=5, invalid=False, open_loop=False)
    page = page_reader.read(run.html())
    table = page.one("section", id="variants").find("table")[0]
    assert [head.text for head in table.one("thead").find("th")][1:] == [
        "slow-ratings baseline, closed loop",
        "timeout-500ms closed loop",
    ]
    assert "closed loop: service time" in table.text
    assert "Closed loop" in page.one("section", id="glossary").text


def test_comparisons_are_in_words_and_drawn(page, run):
    section = page.one("section", id="comparisons")
    items = section.find("li")
    assert len(items) == len(run.document.comparisons)
    assert items[0].one("code").text == "p50"
    assert items[0].one("p", class_="metric").text == "p50 ✓ better"
    sentence = run.document.comparisons[0].sentence
    assert sentence in items[0].text
    assert "a check rests on this" in items[0].text
    plot = items[0].one("svg", class_="plot")
    assert plot.attributes["aria-label"].startswith("p50: \N{MINUS SIGN}49.")
    assert len(plot.find("line", class_="block")) == 6
    assert plot.find("rect", class_="band")
    assert plot.find("line", class_="zero")


def test_proxy_evidence_and_edges_and_logs_are_in_tables(page):
    proxies = page.one("section", id="proxies")
    rows = proxies.find("table")[0].rows()
    timeouts = next(cells for head, cells in rows.items() if head.startswith("upstream_rq_timeout productpage-v1:"))
    assert timeouts == ["0", "1,200"]
    assert any(head.startswith("fault.delays_injected") for head in rows)
    every = proxies.one("table", id="counters")
    assert "listener.127.71.0.2_8080." in every.text
    assert len(every.rows()) >= 5
    assert "504" in page.one("section", id="edges").text
    assert "the service took longer than the timeout" in page.one("section", id="edges").text
    assert "response_timeout" in proxies.text


def test_manifests_show_their_difference_with_signs(page):
    section = page.one("section", id="manifests")
    added = [line.text for line in section.find("ins")]
    assert added == ["+ timeout: 0.5s"]
    assert section.find("del") == []
    assert "fixedDelay: 2s" in section.text


def test_trials_show_validity_reasons_and_attestation(page):
    section = page.one("section", id="trials")
    rows = section.find("table")[0].rows()
    assert rows["Block 1"] == ["✓ valid", "✓ valid"]
    assert rows["Block 2"] == [
        "↻ superseded its block ran again",
        "↻ superseded a proxy did not hold the config throughout",
    ]
    assert rows["Block 2, attempt 2"] == ["✓ valid", "✓ valid"]
    figures = section.find("table")[1]
    assert len(figures.rows()) == 14
    held = section.one("ul", class_="attested")
    assert len(held.find("li")) == 14
    assert "8 proxies held their config from start to end; faults fired 100 times" in held.text
    assert "productpage-v1 did not hold the same config from start to end" in held.text
    assert "2026-02-13 → 2026-02-13-x" in held.text


def test_how_it_was_run_can_be_repeated(page, run):
    section = page.one("section", id="run")
    assert section.one("pre").text == run.document.command
    facts = {term.one("dt").text: term.one("dd").text for term in section.one("dl").find("div")}
    assert facts["Order of variants"] == "random within each block, seed 7"
    assert facts["Envoy"] == "1.40.0"
    assert facts["locust"] == "2.47.0"
    assert facts["Machine: load"] == "1 min 0.420"
    assert facts["After the run"] == run.document.restored
    assert "given back as it was" in facts["Mesh"]
    missing = page.one("section", id="missing").text
    assert "the embedded mesh has no Prometheus" in missing
    assert run.document.warnings[0] in missing


def test_without_javascript_the_numbers_are_there_and_the_charts_say_where(page):
    notes = " ".join(note.text for note in page.find("noscript"))
    assert "Every number that they rest on is in the tables" in notes
    for box in page.find("div", class_="chart needs-js"):
        assert box.text == ""


def test_names_and_texts_of_users_are_text_and_never_markup(page):
    found = page_reader.read(hostile_run().html())
    assert found.find("img") == []
    for element in found.find():
        assert not [name for name in element.attributes if name.startswith("on")]
    assert len(found.find("script")) == len(page.find("script"))
    assert HOSTILE.split("\u2028", maxsplit=1)[0] in found.one("h1").text
    assert "{{ 7*7 }}" in found.one("h1").text
    data = found.one("script", id="data").inside
    assert len(data) == 1
    assert "<" not in str(data[0])


def test_a_guardrail_stop_is_told_at_once(run):
    stop = GuardrailRecord(rule="error_rate > 50% for 5s", variant="timeout-500ms", block=3, observed="61 % for 5 s")
    document = run.document.model_copy(update={"guardrail": stop, "verdict": Verdict.ABORTED})
    text = page_reader.read(render(document, run.trials, {})).one("header").text
    assert "A guardrail stopped the load. error_rate > 50% for 5s was crossed in block 3, variant timeout-500ms" in text


def test_a_run_that_never_measured_still_has_its_page():
    document = RunDocument(experiment="e", verdict=Verdict.ERROR, reason="Envoy died", mesh=MeshRecord(kind="local"))
    page = page_reader.read(render(document, [], {}))
    assert page.one("p", class_="headline").text == "Envoy died"
    assert "No variant was measured." in page.one("section", id="variants").text
    assert "No trial was run." in page.one("section", id="trials").text
    assert "nothing to draw" in page.one("section", id="latency").text
    assert "claims nothing" in page.one("section", id="checks").text


def test_a_plain_url_has_no_sections_about_proxies():
    document = RunDocument(
        experiment="e",
        mesh=MeshRecord(kind="none"),
        variants=[
            VariantRecord(
                name="only", baseline=True, trials=[TrialRecord(block=1, variant="only", started="", ended="")]
            )
        ],
    )
    page = page_reader.read(render(document, [], {}))
    ids = [section.attributes["id"] for section in page.find("section")]
    assert ids == ["checks", "variants", "latency", "timeline", "trials", "run", "glossary"]


def test_an_invalid_trial_tells_why(run):
    document = run.document.model_copy(deep=True)
    trial = document.variants[1].trials[-1]
    trial.valid, trial.invalid_because = False, [Invalid.FAULT_NOT_FIRED, Invalid.LAG]
    trial.attestation.faults = {"reviews-v2 fault.delays_injected": 0}
    page = page_reader.read(render(document, run.trials, {}))
    rows = page.one("section", id="trials").find("table")[0].rows()
    assert rows["Block 6"][1] == "✗ invalid the fault never fired; requests were sent too late"
    assert "; the fault never fired." in page.one("ul", class_="attested").text
    assert "5 of 6 trials valid" in page.one("section", id="variants").text


def test_a_large_run_stays_under_a_megabyte_whatever_it_holds():
    run = sample_run.make(sample_run.many(7), blocks=10, seconds=60, rate=2)
    html = run.html()
    assert len(html.encode()) < 1_000_000
    assert "more counters in run.json" not in html
    page_reader.read(html)
    run.manifests = {file: "# " + "x" * 50_000 + "\n" + text * 200 for file, text in run.manifests.items()}
    for variant in run.document.variants:
        variant.proxy = {f"proxy-{n}": {f"cluster.c{m}.upstream_rq_total": 1 for m in range(400)} for n in range(20)}
    html = run.html()
    assert len(html.encode()) < 1_000_000
    assert "more counters in run.json" in html
    page_reader.read(html)


def test_size_does_not_follow_from_the_number_of_requests():
    few = sample_run.make(blocks=2, seconds=3, rate=20, invalid=False)
    size = len(few.html())
    for file in few.trials:
        for second in file.window.seconds:
            for by_status in second.cells.values():
                for cell in by_status.values():
                    for histogram in (cell.response, cell.service):
                        histogram.counts = {lower: number * 100_000 for lower, number in histogram.counts.items()}
                        histogram.count *= 100_000
                        histogram.total *= 100_000
    assert len(few.html()) < 1.05 * size


def luminance(colour):
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_have_contrast_enough(scheme):
    css = str(own("report.css"))
    blocks = re.findall(r"(?::root|:root:not\(\.printing\)) \{([^}]*--paper[^}]*--series[^}]*)\}", css)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme]))
    for text in ("ink", "quiet", "link", "good", "bad", "unsure"):
        for ground in ("paper", "sheet", "soft"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for tone in ("good", "bad", "unsure"):
        assert contrast(colours[tone], colours[f"{tone}-soft"]) >= 4.5
        assert contrast(colours["quiet"], colours[f"{tone}-soft"]) >= 4.5
        assert contrast(colours["ink"], colours[f"{tone}-soft"]) >= 4.5
    for number in range(8):
        assert contrast(colours[f"series-{number}"], colours["paper"]) >= 3
        assert contrast(colours[f"series-{number}"], colours["sheet"]) >= 3
