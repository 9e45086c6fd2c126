"""What README and docs say is so: links lead somewhere, YAML is valid, commands exist, nothing of the interface is left out."""

import re
import shlex
import shutil
import typing
import urllib.request
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from runner.cli.main import cli
from runner.conduct.plan import make_plan
from runner.conduct.preview import preview
from runner.istio.kinds import KINDS
from runner.istio.load import parse_manifests
from runner.mesh.local.appfile import load_app
from runner.mesh.local.mesh import LocalMesh
from runner.report.marks import COMPARISONS, VERDICTS
from runner.results.document.trial import Invalid
from runner.spec import metrics
from runner.spec.load import load_experiment
from runner.spec.load_profile import Load, LocustLoad, Stage
from runner.spec.raw import ExperimentFile
from runner.units import parse_duration, parse_rate
from runner.yamlfile.documents import parse_documents

REPOSITORY = Path(__file__).resolve().parents[2]
GUIDE = REPOSITORY / "docs" / "guide"
PAGES = sorted([REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *(REPOSITORY / "docs").rglob("*.md")])
GUIDES = sorted(GUIDE.glob("*.md"))

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
each_guide = pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)


@dataclass(frozen=True)
class Block:
    """A code block of a page: fenced (with its language) or indented by four spaces (language "indented")."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    found, lines = [], page.read_text().splitlines()
    at = 0
    while at < len(lines):
        start = at
        if fence := re.fullmatch(r"```(\w*)", lines[at]):
            at += 1
            while lines[at] != "```":
                at += 1
            found.append(Block(fence[1], "\n".join(lines[start + 1 : at]) + "\n", start + 2))
        elif lines[at].startswith("    ") and (at == 0 or not lines[at - 1].strip()):
            while at < len(lines) and (lines[at].startswith("    ") or not lines[at].strip()):
                at += 1
            text = "\n".join(line[4:] for line in lines[start:at])
            found.append(Block("indented", text, start + 1))
        at += 1
    return found


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def code_spans(page: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(page))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    heads = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


# Links


@each_page
def test_every_relative_link_leads_somewhere(page):
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            lost.append(target)
    assert not lost


def test_every_guide_is_in_the_index_and_in_the_readme():
    for page in GUIDES:
        if page.name != "README.md":
            assert f"({page.name})" in (GUIDE / "README.md").read_text()
            assert f"(docs/guide/{page.name})" in (REPOSITORY / "README.md").read_text()


# YAML and Python


def place_of(block: Block) -> str | None:
    """The file that a block is, by its first line: `# experiments/stock.yaml`."""
    place = re.match(r"# ((?:[\w-]+/)+[\w.-]+)(?:, .*)?\n", block.text)
    return place[1] if place else None


def workshop(page: Path, folder: Path) -> Path:
    """A folder in which a page's examples stand where their first line says, beside what the repository ships."""
    for name in ("experiments", "loadfiles"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for block in blocks(page):
        if place := place_of(block):
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
    return folder


def placed(block: Block, folder: Path) -> Path:
    """The file of a block: its own, or one among the experiments."""
    path = folder / (place_of(block) or f"experiments/at-line-{block.line}.yaml")
    path.write_text(block.text)
    return path


def whole(block: Block, data: dict) -> str:
    """A fragment made an experiment by what it leaves out."""
    text = block.text
    if "load" not in data:
        text += "load: {locust: {file: ../loadfiles/http.py}}\n"
    elif "locust" not in data["load"]:
        text = re.sub(r"^load:\n", "load:\n  locust: {file: ../loadfiles/http.py}\n", text, flags=re.MULTILINE)
    return text if "variants" in data else text + "variants: {as-it-is: {}}\n"


@each_page
def test_yaml_blocks_are_experiments_manifests_or_app_files_that_hold(page, tmp_path, monkeypatch):
    folder = workshop(page, tmp_path)
    monkeypatch.chdir(folder)
    known = {info.alias or name for name, info in ExperimentFile.model_fields.items()}
    for block in blocks(page):
        if block.language != "yaml":
            continue
        where = f"{page.name}:{block.line}"
        data = parse_documents(block.text, where)[0].data
        if "apiVersion" in data:
            assert parse_manifests(block.text, where)
        elif "manifests" in data:
            assert load_app(placed(block, folder)).name == data["app"]
        else:
            assert set(data) <= known, where
            path = placed(block, folder)
            path.write_text(whole(block, data))
            environ = dict.fromkeys(data.get("env", ()), "a-value")
            plan, _ = preview(make_plan(load_experiment(path, environ=environ), seed=1))
            assert plan.variants


@each_page
def test_python_blocks_compile(page):
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, f"{page.name}:{block.line}", "exec")


# Commands


def command_lines(page: Path) -> list[tuple[str, bool]]:
    """Every `meshtrial ...` of a page, and whether it is to be run as it stands (not just named in a sentence)."""
    found = []
    for block in blocks(page):
        for line in block.text.replace("\\\n", " ").splitlines():
            if block.language == "console" and not line.startswith("$ "):
                continue
            if block.language in {"console", "indented", "sh", "bash"}:
                found.append((line.removeprefix("$ "), True))
    found += [(span, False) for span in code_spans(page)]
    pattern = re.compile(r"(?<![\w./=-])(?:\.venv/bin/)?meshtrial ((?:[^|;&>)#'\"]|'[^']*'|\"[^\"]*\")+)")
    return [(match[1], run) for text, run in found for match in pattern.finditer(text)]


def understood(words: list[str], *, run: bool) -> str | None:
    """What click has against a command line; None for nothing."""
    command: click.Command = cli
    rest = list(words)
    try:
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            name = rest.pop(0)
            if name == "COMMAND":
                return None
            if name not in command.commands:
                return f"there is no command {name}"
            command = command.commands[name]
        command.make_context(command.name, rest)
    except click.exceptions.Exit:
        return None
    except (click.MissingParameter, click.exceptions.NoArgsIsHelpError):
        return "something is missing" if run else None
    except click.ClickException as error:
        return error.format_message()
    return None


@each_page
def test_every_command_in_it_exists_with_its_options(page, capsys):
    wrong = []
    for line, run in command_lines(page):
        reason = understood(shlex.split(line), run=run)
        if reason:
            wrong.append(f"meshtrial {line}: {reason}")
    capsys.readouterr()
    assert not wrong


@cache
def commands() -> dict[str, click.Command]:
    """All commands that do something, by their words."""
    found: dict[str, click.Command] = {}

    def walk(words: str, command: click.Command) -> None:
        if isinstance(command, click.Group):
            for name, inner in command.commands.items():
                walk(f"{words} {name}".strip(), inner)
        else:
            found[words] = command

    walk("", cli)
    return found


def test_the_guides_have_command_lines_to_check():
    seen = {" ".join(line.split()[:2]) for page in GUIDES for line, run in command_lines(page) if run}
    assert {"mesh up", "mesh apply", "mesh delete", "mesh stats", "mesh logs", "mesh get", "mesh status"} <= seen
    assert understood(["run", "--quik", "x.yaml"], run=True)
    assert understood(["mesh", "apply"], run=True)
    assert understood(["rum"], run=False)
    assert not understood(["run"], run=False)


@pytest.mark.parametrize("words", sorted(commands()))
def test_every_command_and_option_is_in_a_guide(words):
    texts = "\n".join(page.read_text() for page in GUIDES)
    assert re.search(rf"`[^`]*\b{words}\b|meshtrial {words}\b", texts), f"meshtrial {words} is in no guide"
    for parameter in commands()[words].params:
        if isinstance(parameter, click.Option):
            missing = [name for name in (*parameter.opts, *parameter.secondary_opts) if not _option_in(name, texts)]
            assert not missing, f"meshtrial {words} {missing} is in no guide"


def _option_in(name: str, texts: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", texts) is not None


# The experiment file


def rows(page: Path) -> list[list[str]]:
    """The cells of all table rows of a page."""
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in page.read_text().splitlines()
        if line[:1] == "|"
    ]


def models_in(annotation: object) -> list[type[BaseModel]]:
    """The models in an annotation, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in models_in(part)]


@cache
def keys() -> dict[str, tuple[type[BaseModel], str]]:
    """Every key of the experiment file that holds no others, as a dotted path, with its model and field."""
    found: dict[str, tuple[type[BaseModel], str]] = {}

    def walk(way: str, model: type[BaseModel]) -> None:
        for name, info in model.model_fields.items():
            path = f"{way}{info.alias or name}"
            inner = models_in(info.annotation)
            if (
                not inner
                or path in {"load.arrivals.stages", "variants.NAME.load", "variants.NAME.phases"}
                or not inner[0].model_fields
            ):
                found[path] = (model, name)
            for part in inner if path not in found else ():
                walk(f"{path}.NAME." if path == "variants" else f"{path}.", part)

    walk("", ExperimentFile)
    return found


def test_every_key_of_an_experiment_is_in_its_guide():
    page = GUIDE / "experiment.md"
    named = {span for row in rows(page) for span in re.findall(r"`([\w.]+)`", row[0])}
    assert set(keys()) <= named
    assert all(re.search(rf"\b{name}:", (GUIDE / "experiment.md").read_text()) for name in Stage.model_fields)


def test_the_guide_names_no_key_that_is_none():
    known = set(keys()) | set(metrics.METRIC_NAMES)
    dotted = {span for row in rows(GUIDE / "experiment.md") for span in re.findall(r"`((?:\w+\.)+\w+)`", row[0])}
    assert dotted <= known


def test_the_defaults_in_the_guide_are_the_models():
    checked = 0
    for row in rows(GUIDE / "experiment.md"):
        names = re.findall(r"`([\w.]+)`", row[0])
        values = re.findall(r"`([^`]+)`", row[1]) if len(row) > 2 else []
        for name, value in zip(names, values, strict=False):
            if name not in keys() or len(names) != len(values):
                continue
            model, field = keys()[name]
            default = model.model_fields[field].default
            if name == "load.arrivals.rate":
                default = Load(locust=LocustLoad(file=Path("x.py"))).arrivals.rate
            assert _read(value) == (pytest.approx(default) if isinstance(default, float) else default), name
            checked += 1
    assert checked >= 12


def _read(text: str) -> object:
    for parse in (parse_duration, parse_rate, int):
        try:
            return parse(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)


def test_every_metric_is_in_the_guide():
    named = " ".join(row[0] for row in rows(GUIDE / "experiment.md"))
    for name in metrics.METRIC_NAMES:
        assert re.search(rf"`{re.escape(name)}[`\[]", named), name


def test_the_exit_codes_in_the_guide_are_those_of_the_help():
    said = {
        int(code)
        for row in rows(GUIDE / "experiment.md")
        for code in re.findall(r"^(\d+)\b|, (\d+)$", row[0])
        for code in code
        if code
    }
    helped = {int(code) for code in re.findall(r"\b(\d+)\b", (cli.help or "").partition("Exit codes:")[2])}
    assert said == helped
    assert {0, 1, 2, 3, 4, 5, 130, 143} == said


# The report and the mesh


def test_every_reason_why_a_trial_does_not_count_is_explained():
    explained = {row[0].strip("`"): row for row in rows(GUIDE / "report.md")}
    for code in Invalid:
        assert code.value in explained, code
        assert all(len(cell) > 10 for cell in explained[code.value][1:]), f"{code} says too little"


def test_every_word_of_a_verdict_is_explained():
    text = (GUIDE / "report.md").read_text()
    for verdict in VERDICTS:
        assert f"**{verdict.value}**" in text
    words = {word.strip() for row in rows(GUIDE / "report.md") for word in row[0].split(",")}
    assert set(COMPARISONS) <= words


def test_every_section_of_the_report_is_in_its_guide():
    templates = REPOSITORY / "runner" / "report" / "templates"
    heads = {
        head for page in templates.glob("*.html") for head in re.findall(r"<h2[^>]*>([^<{]+)</h2>", page.read_text())
    }
    assert len(heads) > 8
    assert heads <= {row[0] for row in rows(GUIDE / "report.md")}
    assert "| By *variable* |" in (GUIDE / "report.md").read_text()


def test_every_kind_of_istios_is_told_to_be_taken_or_refused():
    text = (GUIDE / "mesh.md").read_text()
    assert [kind for kind in KINDS if not re.search(rf"\b{kind}\b", text)] == []


def test_every_key_of_an_app_file_is_in_its_guide():
    from runner.mesh.local.appfile import AppDeclaration, Command  # noqa: PLC0415 - used here alone

    text = (GUIDE / "own-app.md").read_text()
    for model in (AppDeclaration, Command):
        for name in model.model_fields:
            assert f"`{name}`" in text, name


def test_the_worked_app_answers_through_its_mesh(tmp_path, own_state):
    app = workshop(GUIDE / "own-app.md", tmp_path) / "shop" / "app.yaml"
    mesh = LocalMesh.start(str(app))
    try:
        with urllib.request.urlopen(mesh.gateway_url(), timeout=10) as response:  # noqa: S310 - the mesh's own
            assert response.read() == b"7 left"
        counted = mesh.admin("/stats?filter=upstream_rq_total")["front-v1"]
        assert "cluster.outbound|8000||stock.default.svc.cluster.local;.upstream_rq_total: 1" in counted.splitlines()
    finally:
        mesh.close()
