"""The capacity section: what was found, latency against rate, the path of each search, every trial of it."""

import io

import page_reader
import pytest
from rich.console import Console

from runner.report.html import render
from runner.report.log_axis import LogAxis
from runner.report.terminal import print_summary
from runner.results.document.capacity import CapacityGoal, CapacitySearch, CapacityStep
from runner.results.document.figures import Latency
from runner.results.document.run import MeshRecord, RunDocument, Verdict
from runner.results.document.trial import GeneratorRecord, Invalid
from runner.results.document.variant import VariantRecord

PLAN = [
    ("double", 20, 21, "held"),
    ("double", 40, 22, "held"),
    ("double", 80, 24, "held"),
    ("double", 160, 900, "failed"),
    ("bisect", 113, 300, "failed"),
    ("bisect", 95, 40, "held"),
    ("confirm", 97, 80, "held"),
    ("confirm", 97, 90, "held"),
    ("confirm", 101.8, 310, "failed"),
    ("confirm", 101.8, None, "spoiled"),
    ("confirm", 101.8, 290, "failed"),
]


def step(phase, rate, p99, outcome):
    return CapacityStep(
        phase=phase,
        rate=rate,
        seconds=15,
        load_s=17,
        outcome=outcome,
        because="the generator was late" if outcome == "spoiled" else f"p99 {p99} ms",
        invalid_because=[Invalid.LAG] if outcome == "spoiled" else [],
        strain=None if outcome == "spoiled" else p99 / 250,
        requests=int(rate * 15),
        latency_ms=Latency() if p99 is None else Latency(p50=p99 / 3, p99=p99),
        generator=GeneratorRecord(cpu=0.2),
    )


def search(block=1, **changes):
    fields = {
        "block": block,
        "ending": "found",
        "sentence": "It keeps `p99 < 250ms` up to 100/s (bounds 97 to 102/s).",
        "rate": 100,
        "low": 97,
        "high": 101.8,
        "throughput": 96.5,
        "knee": 80,
        "load_s": 150,
        "steps": [step(*one) for one in PLAN],
    }
    return CapacitySearch.model_validate(fields | changes)


def document(*variants, blocks=1, objective="p99 < 250ms and error_rate < 0.1%"):
    return RunDocument(
        experiment="capacity",
        verdict=Verdict.PASS,
        started="2026-11-24T06:12:09.000Z",
        headline="v1 keeps p99 < 250ms up to 100/s (97 to 102/s).",
        blocks=blocks,
        mesh=MeshRecord(kind="none"),
        capacity=CapacityGoal(
            objective=objective, start=20, to=2000, width=0.05, seconds=15, duration_sum=45, exceed=0.5, most_load_s=180
        ),
        variants=list(variants),
    )


def variant(name="v1", *searches):
    found = [one for one in searches if one.rate]
    return VariantRecord(
        name=name,
        capacity={"rate": found[0].rate, "low": found[0].low, "high": found[0].high} if found else None,
        capacity_searches=list(searches),
    )


@pytest.fixture(scope="module")
def section():
    whole = document(variant("v1", search()), variant("<v2>", search(rate=None, ending="out_of_load", low=None)))
    return page_reader.read(render(whole, [], {})).one("section", id="capacity")


def test_what_each_search_found_stands_in_a_table(section):
    rows = section.find("table")[0].find("tr")
    assert [cell.text for cell in rows[1].find("td")][:5] == ["100/s", "97.0/s", "102/s", "96.5/s", "80.0/s"]
    assert rows[1].find("td")[6].text == "found"
    assert "out of load" in rows[2].text
    assert "It keeps p99" in rows[2].text, "an ending without an estimate is explained"
    assert "20.0/s and 2,000/s" in section.find("p", class_="how")[0].text


def test_latency_is_drawn_against_rate_with_the_limit_the_bounds_and_the_knee(section):
    figure = section.find("figure")[0]
    assert figure.one("figcaption").text.startswith("p99 against the arrival rate")
    titles = [title.text for title in figure.find("title")]
    assert "the objective's limit, 250 ms" in titles
    assert "v1: 100/s, between 97.0/s and 102/s" in titles
    assert "knee of v1: 80.0/s" in titles
    assert "v1: 20.0/s p99 21.0 ms" in titles
    assert len([t for t in titles if t.startswith("v1: ") and " p99 " in t]) == len(PLAN) - 1
    assert "<v2>" in figure.text


def test_the_path_of_each_search_tells_every_trial_in_order(section):
    paths = section.find("figure")[1:]
    assert [path.one("figcaption").text.strip() for path in paths] == ["Search for v1", "Search for <v2>"]
    titles = [title.text for title in paths[0].find("title") if title.text.startswith("trial")]
    assert titles[0] == "trial 1, doubling: 20.0/s held (p99 21 ms)"
    assert titles[9] == "trial 10, confirmation: 102/s says nothing (the generator was late)"
    assert len(titles) == len(PLAN)
    marks = paths[0].find("g")
    assert sum("failed" in mark.attributes.get("class", "") for mark in marks) == 4
    assert sum("spoiled" in mark.attributes.get("class", "") for mark in marks) == 1


def test_every_trial_stands_in_a_table_with_its_reason(section):
    table = section.find("table")[1]
    assert len(table.find("tr")) == 1 + 2 * (len(PLAN) + 1)
    assert "requests were sent too late" in table.text


def test_other_runs_have_no_such_section_and_this_one_no_mixed_distribution():
    plain = document(variant("v1"))
    plain.capacity = None
    ids = [one.attributes["id"] for one in page_reader.read(render(plain, [], {})).find("section")]
    assert "capacity" not in ids
    assert "latency" in ids
    page = page_reader.read(render(document(variant("v1", search())), [], {}))
    ids = [one.attributes["id"] for one in page.find("section")]
    assert "capacity" in ids
    assert "latency" not in ids
    links = {link.attributes["href"].removeprefix("#") for link in page.one("nav").find("a")}
    assert links <= set(ids)


def test_many_searches_and_an_objective_without_latency_are_shown_too():
    many = document(variant("v1", *(search(block) for block in range(1, 13))), blocks=12, objective="error_rate < 0.1%")
    section = page_reader.read(render(many, [], {})).one("section", id="capacity")
    assert len(section.find("figure")) == 1 + 8
    assert "4 more searches are in the table only" in section.text
    assert "limit" not in " ".join(title.text for title in section.find("title"))


def test_a_run_that_ended_before_its_first_search_has_a_page():
    section = page_reader.read(render(document(variant("v1")), [], {})).one("section", id="capacity")
    assert not section.find("figure")


def test_the_terminal_shows_the_capacity_and_its_bounds():
    console = Console(file=io.StringIO(), width=100)
    whole = variant("v1", search())
    whole.requests = 1000
    print_summary(document(whole), console)
    text = console.file.getvalue()
    assert "capacity" in text
    assert all(rate in text for rate in ("100/s", "97.0/s", "102/s"))


def test_the_axis_has_room_for_its_marks_and_round_labels():
    axis = LogAxis.over([20, 2000], 52, 326)
    assert 52 < axis.at(20) < axis.at(200) < axis.at(2000) < 326
    assert [tick.text for tick in axis.ticks(lambda value: f"{value:g}")] == ["30", "100", "300", "1000"]
    narrow = LogAxis.over([100, 101], 200, 12)
    assert narrow.at(100) > narrow.at(101)
    assert len(narrow.ticks(str)) >= 2
    assert LogAxis.over([], 0, 10).at(1) == pytest.approx(5, abs=1)
