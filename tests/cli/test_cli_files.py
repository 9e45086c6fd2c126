"""Commands that look at files alone: schema, list, report, plan, init."""

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.results.document.run import MeshRecord, RunDocument, Verdict
from runner.results.store import RunFolder
from runner.yamlfile.dialect import to_yaml
from runner.yamlfile.documents import parse_documents


def test_schema_is_json_that_names_every_key(desk):
    schema = json.loads(desk.run("schema").stdout)
    assert {"variants", "load", "checks", "mesh", "stop_if"} <= schema["properties"].keys()


def kept_run(root, name="timeout"):
    folder = RunFolder.create(root, name)
    folder.write_document(
        RunDocument(
            experiment=name,
            mesh=MeshRecord(kind="local"),
            verdict=Verdict.PASS,
            reason="All checks held.",
            started="2026-01-02T03:04:05Z",
            ended="x",
        )
    )
    return folder.path


def test_list_shows_runs_with_their_verdict_and_tells_when_there_are_none(desk):
    result = desk.run("list", "--results", "nowhere")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "no runs below nowhere\n")
    path = kept_run(desk.folder / "results")
    (path.parent / "torn").mkdir()
    (path.parent / "torn" / "run.json").write_text('{"version": 1, "exp')
    result = desk.run("list")
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert len(lines) == 2
    shown = next(line for line in lines if "pass" in line)
    assert shown.startswith("2026-01-02T03:04:05")
    assert shown.endswith(str(path.relative_to(desk.folder)))
    assert any("error" in line and line.endswith("torn") for line in lines)
    found = [json.loads(line) for line in desk.run("list", "--json").stdout.splitlines()]
    assert {item["verdict"] for item in found} == {"pass", "error"}


def test_a_report_is_made_from_what_is_there(desk):
    path = kept_run(desk.folder / "results")
    (path / "trials").rmdir()
    (path / "manifests").rmdir()
    result = desk.run("report", path)
    assert (result.returncode, result.stdout.strip()) == (0, str(path / "report.html"))
    assert "All checks held." in (path / "report.html").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is no run folder: it has no run.json"),
        ('{"version": 1, "experim', "is not whole"),
        ('{"version": 99}', "has version 99, this program reads version 1"),
        ("[]", "is no run document"),
        ("{}", "is no run document: experiment"),
    ],
)
def test_a_folder_that_is_none_of_ours_is_refused(desk, content, message):
    path = kept_run(desk.folder / "results")
    (path / "run.json").unlink()
    if content is not None:
        (path / "run.json").write_text(content)
    before = sorted(path.rglob("*"))
    result = desk.run("report", path)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert sorted(path.rglob("*")) == before


def test_plan_tells_the_order_the_manifests_and_the_time_and_starts_nothing(desk):
    result = desk.run("plan", "look.yaml", "--blocks", "3", "--seed", "7")
    assert result.returncode == 0
    assert "again: 20/s uniform arrivals from the gateway" in result.stdout
    orders = [line.partition(": ")[2] for line in result.stdout.splitlines() if line.startswith("block ")]
    assert len(orders) == 3
    assert all(sorted(order.split(", ")) == ["again", "as-it-is"] for order in orders)
    assert "again vs as-it-is: p50 <= +10%" in result.stdout
    assert "3 blocks can't decide 1 comparison" in result.stderr
    assert desk.run("plan", "look.yaml", "--blocks", "3", "--seed", "7").stdout == result.stdout
    assert not desk.state.exists()


def test_init_makes_an_experiment_that_runs_and_overwrites_nothing(desk):
    result = desk.run("init", "new place")
    assert result.returncode == 0
    experiment = desk.folder / "new place" / "experiments" / "my-experiment.yaml"
    assert result.stdout.splitlines()[0] == "new place/experiments/my-experiment.yaml"
    assert desk.run("validate", experiment).returncode == 0
    run = desk.run("run", "--quick", "--blocks", "1", "--duration", "1s", experiment)
    assert run.returncode == 5, "one block decides no comparison"
    document = RunFolder.open(desk.folder / run.stdout.strip()).document()
    assert [variant.name for variant in document.variants] == ["as-it-is", "slow-ratings"]
    assert all(trial.requests == 30 for variant in document.variants for trial in variant.trials)
    changed = experiment.read_text() + "# mine\n"
    experiment.write_text(changed)
    again = desk.run("init", "new place")
    assert again.returncode == 2
    assert "is there already" in again.stderr
    assert experiment.read_text() == changed
    shutil.rmtree(desk.folder / "new place" / "experiments")
    assert desk.run("init", "new place").returncode == 2, "the loadfile is still there"


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), plain, max_size=4))
def test_what_is_printed_as_yaml_reads_back_as_the_same_values(data):
    found = parse_documents(to_yaml(data), "printed")
    assert [document.data for document in found] == [data]


@pytest.mark.parametrize(
    "text", ["on", "1e3", "0o17", "017", "1:30", "2020-01-01", "~", "=", "<<", ".5", "null", "1_000"]
)
def test_texts_that_look_like_something_else_stay_texts(text):
    assert parse_documents(to_yaml({"value": text}), "printed")[0].data == {"value": text}
