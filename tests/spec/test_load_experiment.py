from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.errors import InputError, Position
from runner.spec.load import load_experiment
from runner.spec.mesh import ClusterMesh, LocalMesh, NoMesh
from runner.spec.overrides import Overrides

FULL = """\
experiment: request-timeout
question: Does a timeout help?
mesh: {app: bookinfo}
setup: [istio/setup.yaml]
variants:
  slow-ratings: {apply: [istio/delay.yaml]}
  timeout-500ms: {apply: [istio/delay.yaml, istio/timeout.yaml, {kind: Gateway}]}
load:
  locust: {file: ../loadfiles/bookinfo.py}
  arrivals: {rate: 25/s}
  warmup: 3s
  duration: 20s
blocks: 7
collect: {promql: {reviews_5xx: 'sum(increase(istio_requests_total{code="500"}[$window]))'}}
stop_if: ["error_rate > 50% for 5s"]
checks:
  slow-ratings: ["p50 >= 2s"]
  timeout-500ms: ["p95 < 1.3s", "promql[reviews_5xx] > 3"]
  timeout-500ms vs slow-ratings: ["p50 <= -40%"]
"""


def cluster(**target) -> ClusterMesh:
    return ClusterMesh.model_validate({"cluster": target})


def test_a_whole_file(project) -> None:
    loaded = project.load(FULL, head="")
    experiment = loaded.experiment
    folder = project.path.parent
    assert experiment.experiment == "request-timeout"
    assert experiment.mesh == LocalMesh(app="bookinfo")
    assert experiment.setup == [folder / "istio/setup.yaml"]
    assert experiment.variants["timeout-500ms"].apply == [
        folder / "istio/delay.yaml",
        folder / "istio/timeout.yaml",
        {"kind": "Gateway"},
    ]
    load = experiment.variants["slow-ratings"].load
    assert load.locust is not None
    assert load.locust.file == project.root / "loadfiles/bookinfo.py"
    assert (load.arrivals.rate, load.warmup, load.duration, load.source) == (25, 3, 20, "gateway")
    assert (experiment.blocks, experiment.baseline, experiment.quick) == (7, "slow-ratings", False)
    assert [str(check) for check in loaded.checks] == [
        "slow-ratings: p50 >= 2s",
        "timeout-500ms: p95 < 1.3s",
        "timeout-500ms: promql[reviews_5xx] > 3",
        "timeout-500ms vs slow-ratings: p50 <= -40%",
    ]
    assert experiment.checks["timeout-500ms vs slow-ratings"] == ["p50 <= -40%"]
    assert loaded.guardrails[0].seconds == 5
    assert (loaded.warnings, loaded.secrets, loaded.objective) == ((), frozenset(), ())


def test_places_of_what_was_read(project) -> None:
    loaded = project.load(FULL, head="")
    file = str(project.path)
    assert loaded.manifest_position(None, 0) == Position(file, 4, 9)
    assert loaded.manifest_position("timeout-500ms", 1) == Position(file, 7, 45)
    assert loaded.inline("timeout-500ms", 2).data == {"kind": "Gateway"}
    assert loaded.inline("timeout-500ms", 2).position(("kind",)) == Position(file, 7, 72)
    assert loaded.checks[1].position == Position(file, 18, 20)
    assert loaded.guardrails[0].position == Position(file, 15, 12)


def test_defaults(project) -> None:
    loaded = project.load("variants: {a: }\n")
    experiment = loaded.experiment
    load = experiment.variants["a"].load
    assert experiment.experiment == "trial"
    assert experiment.mesh == LocalMesh(app="bookinfo")
    assert (experiment.blocks, experiment.setup, experiment.stop_if, experiment.checks) == (6, [], [], {})
    assert (load.arrivals.rate, load.users, load.warmup, load.duration) == (20, None, 5, 30)
    assert "no checks" in loaded.warnings[0]


def test_a_variants_load_is_laid_over_the_experiments(project) -> None:
    text = """\
        variants:
          base: {}
          closed: {load: {users: 3, headers: {B: c}}}
          stages: {load: {arrivals: {stages: [{rate: 10/s, duration: 2s}, {rate: 0/s, duration: 3s}]}}}
          tagged: {load: {locust: {tags: [slow]}, duration: 7s}}
        load: {locust: {file: ../loadfiles/bookinfo.py}, arrivals: {rate: 5/s, distribution: poisson}, headers: {A: b}}
    """
    variants = project.load(text, head="").experiment.variants
    closed, stages, tagged = (variants[name].load for name in ("closed", "stages", "tagged"))
    assert (closed.users, closed.arrivals, closed.headers) == (3, None, {"A": "b", "B": "c"})
    assert stages.arrivals.rate is None
    assert stages.arrivals.distribution == "poisson"
    assert [stage.rate for stage in stages.arrivals.stages] == [10, 0]
    assert stages.duration == 5
    assert (tagged.locust.tags, tagged.locust.file.name, tagged.duration) == (["slow"], "bookinfo.py", 7)
    assert variants["base"].load.locust.tags == []


@pytest.mark.parametrize(
    ("mesh", "expected"),
    [
        ("{}", LocalMesh()),
        ("{app: httpbin}", LocalMesh(app="httpbin")),
        ("{cluster: }", cluster()),
        ("{cluster: {context: c, namespace: n}}", cluster(context="c", namespace="n")),
        ("{none: {url: 'http://127.0.0.1:80/'}}", NoMesh.model_validate({"none": {"url": "http://127.0.0.1:80/"}})),
    ],
)  # fmt: skip
def test_meshes(project, mesh, expected) -> None:
    assert project.load(f"mesh: {mesh}\nvariants: {{a: {{}}}}\n").experiment.mesh == expected


def test_an_app_file_is_found_beside_the_experiment(project) -> None:
    path = project.put("experiments/apps/shop.yaml", "app: shop\n")
    assert project.load("mesh: {app: apps/shop.yaml}\nvariants: {a: }\n").experiment.mesh == LocalMesh(app=str(path))
    (problem,) = project.problems("mesh: {app: apps/shp.yaml}\nvariants: {a: }\n")
    assert problem.startswith("1:13: ")
    assert 'Did you mean "apps/shop.yaml"?' in problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mesh: {kluster: {context: x}}\nvariants: {a: }\n", '1:8: no kind of mesh is called "kluster"; expected'),
        ("mesh: {local: {}}\nvariants: {a: }\n", "The embedded mesh is {app: bookinfo}"),
        ("mesh: cluster\nvariants: {a: }\n", "1:7: mesh should be a mapping"),
        ("mesh: {app: x, cluster: {}}\nvariants: {a: }\n", "1:7: mesh takes one kind, and has app and cluster"),
        ("mesh: {cluster: {contxt: x}}\nvariants: {a: }\n", '1:18: unknown key "contxt"; expected one of context'),
        ("mesh: {none: {url: example.org}}\nvariants: {a: }\n", "1:20: mesh.none.url: 'example.org' is not a URL"),
        ("mesh: {none: {url: 'http://a'}}\nvariants: {a: {apply: [{}]}}\n", "2:16: a mesh of kind none applies"),
        ("mesh: {none: {url: 'http://a'}}\nsetup: [{}]\nvariants: {a: }\n", "2:1: a mesh of kind none applies nothing"),
        ("mesh: {none: {url: 'http://a'}}\nvariants: {a: {load: {from: b}}}\n", "2:29: a mesh of kind none has no"),
        ("variants: {a: {url: 'http://a'}}\n", "1:16: url is for a mesh of kind none"),
        ("variants: {}\n", "1:11: variants is empty; expected at least one variant"),
        ("variants:\n", "1:10: variants is empty; expected at least one variant"),
        ("question: x\n", "1:1: variants is missing"),
        ("variants: [a]\n", "1:11: variants should be a mapping"),
        ("variants: {a: [istio/delay.yaml]}\n", "1:15: a should be a mapping"),
        ("variants: {a: {aply: []}}\n", '1:16: unknown key "aply"; expected one of apply, url, load, phases, vars'),
        ("variants: {a: {apply: istio/delay.yaml}}\n", "1:23: apply: should be a list"),
        ("variants: {a: {apply: [3]}}\n", "1:24: apply.0: 3 is neither a manifest file nor a resource"),
        ("variants: {a: {apply: [istio/dela.yaml]}}\n", 'expected a manifest. Did you mean "istio/delay.yaml"?'),
        ("variants: {a: {apply: [istio]}}\n", "is no file; expected a manifest"),
        ("setup: [istio/nothing-like-it]\nvariants: {a: }\n", "1:9: "),
        ("variants: {a: }\nvariant: 3\n", '2:1: unknown key "variant"'),
        ("variants: {a: }\nblocks: 0\n", "2:9: blocks: 0 is less than 1"),
        ("variants: {a: }\nblocks: six\n", "2:9: blocks: 'six' is not a whole number"),
        ("variants: {a: }\nblocks: true\n", "2:9: blocks: true is not a whole number"),
        ("variants: {a: }\nexperiment: ../x\n", "2:13: experiment: '../x' names a folder"),
        ("variants: {a: }\nexperiment: 2024\n", '2:13: experiment: 2024 is not text; quote it: "2024"'),
        ("variants: {a: }\nstop_if: error_rate > 5%\n", "2:10: stop_if: should be a list"),
        ("variants: {a: }\nstop_if: ['error_rate > 5']\n", '2:25: "error_rate > 5": 5 needs a unit'),
        ("variants: {a: }\nchecks: [p50 < 1s]\n", "2:9: checks should be a mapping"),
        ("variants: {a: }\nchecks: {a: p50 < 1s}\n", "2:13: the checks of a should be a list"),
        ("variants: {a: }\nchecks: {a: [3]}\n", "2:14: a check is text"),
        ("variants: {a: }\nchecks: {a: [p50 < 1]}\n", '2:20: "p50 < 1": 1 needs a unit'),
        ("variants: {a: }\nchecks: {a: ['p50 < 1']}\n", '2:21: "p50 < 1": 1 needs a unit'),
        ("variants: {a: }\nchecks: {a: ['p50 \\< 1']}\n", '2:19: "p50 \\< 1": an operator is missing'),
        ("variants: {abc: }\nchecks: {abd: []}\n", '2:10: no variant "abd"; expected one of abc. Did you mean "abc"?'),
        ("variants: {abc: }\nchecks: {abc vs  abd: []}\n", '2:18: no variant "abd"; expected one of abc. Did you mean'),
        ("variants: {a: }\nchecks: {a vs a: []}\n", '2:10: "a vs a" compares a variant with itself'),
        ("variants: {a: , b: }\nchecks: {a vs b vs a: []}\n", '2:10: "a vs b vs a" compares more than two'),
        ("variants: {a: , b: }\nchecks: {a vs b: [p95 < 2s]}\n", "2:25: "),
        ("variants: {a: }\nchecks: {a: ['promql[x] > 2']}\n", "collect.promql is empty"),
        ("variants: {a: }\ncapacity: {objective: p99}\n", '2:26: "p99": an operator is missing'),
        ("variants: {a: }\ncapacity: {objective: p99 < 1s, from: 9/s, to: 3/s}\n", "capacity: a search goes upwards"),
        ("variants: {a: }\nenv: [1BAD]\n", "'1BAD' can't name an environment variable"),
        ("variants: {a: }\nenv: T\n", "2:6: env: should be a list"),
        ("variants: {a: }\nvars: {my-var: 3}\n", '2:8: "my-var" can\'t name a variable'),
        ("variants: {a: }\nvars: {x: '{{ y }}'}\n", '2:11: "{{ y }}": no variable "y"; expected one of x'),
        ("variants: {a: {apply: [{'{{ x }}': 3}]}}\nvars: {x: k}\n", "1:25: a key can't be made from variables here"),
        ("variants: {a: }\nvariants: {b: }\n", '2:1: the key "variants" stands here twice'),
        ("variants: {a: [}\n", "broken YAML"),
        ("- a\n", "broken YAML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_at_its_place(project, text, expected) -> None:
    problems = project.problems(text)
    assert len(problems) == 1
    assert expected in problems[0]


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        ("{}", "1:7: load: takes exactly one of locust and fortio"),
        ("[]", "1:7: load should be a mapping"),
        ("{locust: {}}", '1:16: "file" is missing'),
        ("{locust: {file: ../loadfiles/bokinfo.py}}", 'Did you mean "../loadfiles/bookinfo.py"?'),
        ("{locust: {file: ../loadfiles/bookinfo.py, tag: x}}", 'unknown key "tag"; expected one of file, tags'),
        ("{locust: {file: f}, fortio: {}}", "1:7: load: takes exactly one of locust and fortio"),
        ("{locust: {file: f}, users: 1, arrivals: {rate: 1/s}}", "load: takes exactly one of arrivals (open loop) and"),
        ("{locust: {file: f}, arrivals: {}}", "load.arrivals: takes exactly one of rate and stages"),
        ("{locust: {file: f}, arrivals: {rate: 20}}", "load.arrivals.rate: 20 needs a unit: a rate such as 20/s"),
        ("{locust: {file: f}, arrivals: {rate: 0/s}}", "load.arrivals.rate: must be more than zero"),
        ("{locust: {file: f}, arrivals: 20/s}", "load.arrivals: should be a mapping"),
        ("{locust: {file: f}, arrivals: {stages: []}}", "load.arrivals.stages: is empty"),
        ("{locust: {file: f}, arrivals: {stages: [{rate: -5/s, duration: 1s}]}}", "'-5/s' is not a rate"),
        ("{locust: {file: f}, arrivals: {stages: [{rate: 5/s, duration: -1s}]}}", "or 3m: it is less than zero"),
        ("{locust: {file: f}, arrivals: {stages: [{rate: 5/s, duration: 0s}]}}", "stages.0.duration: must be more than"),
        ("{locust: {file: f}, duration: -2s}", "load.duration: '-2s' is not a duration"),
        ("{locust: {file: f}, arrivals: {stages: [{rate: 0/s, duration: 1s}]}}", "nothing would arrive"),
        ("{locust: {file: f}, arrivals: {rate: 1/s, distribution: even}}", "should be 'uniform' or 'poisson'"),
        ("{locust: {file: f}, duration: 0s}", "1:37: load.duration: must be more than zero"),
        ("{locust: {file: f}, duration: 20}", "load.duration: 20 needs a unit"),
        ("{locust: {file: f}, duration: 2 apples}", "load.duration: '2 apples' is not a duration"),
        ("{locust: {file: f}, users: 0}", "load.users: 0 is less than 1"),
        ("{locust: {file: f}, headers: {X-Version: 1.10}}", "load.headers.X-Version: 1.1 is not text; quote it"),
        ("{locust: {file: f.py}, tls: {ca: ca.pem}}", "1:40: "),
        ("{locust: {file: f}, tls: {verify: maybe}}", "load.tls.verify: should be true or false"),
        ("{locust: {file: f}, from: {a: b}}", "load.from: should be text"),
    ],
)  # fmt: skip
def test_what_a_load_can_not_be(project, load, expected) -> None:
    project.put("experiments/f", "")
    project.put("experiments/f.py", "")
    problems = project.problems(f"load: {load}\nvariants: {{a: , b: , c: {{load: {{warmup: 1s}}}}}}\n", head="")
    assert len(problems) == 1
    assert expected in problems[0]


def test_a_missing_load_is_told_once(project) -> None:
    (problem,) = project.problems("variants: {a: , b: }\n", head="")
    assert problem == '1:1: "load" is missing; expected load: {locust: {file: ...}}'


def test_all_problems_come_at_once_in_the_files_order(project) -> None:
    problems = project.problems(
        """\
        blocks: 0
        setup: [istio/gone.yaml]
        variants:
          a: {apply: ["{{ missing }}"], load: {duration: 0s}}
        stop_if: ["errors > 1%"]
        checks: {b: ["p50 < 1"]}
        typo: 1
        """
    )
    assert [problem.split(": ")[0] for problem in problems] == ["1:9", "2:9", "4:15", "4:50", "5:21", "6:10", "7:1"]


def test_several_documents_and_empty_files_are_no_experiment(project) -> None:
    assert "a second document" in project.problems("variants: {a: }\n---\nb: 1\n", head="")[0]
    assert "the file is empty" in project.problems("# nothing\n", head="")[0]
    assert "should be a mapping" in project.problems("[a]\n", head="")[0]


def test_a_missing_file_suggests_its_neighbour(project) -> None:
    project.write("variants: {a: }\n")
    with pytest.raises(InputError, match=r"no such file.*trial\.yaml"):
        load_experiment(project.path.with_name("trail.yaml"))


def test_braces_without_quotes_get_the_hint_they_need(project) -> None:
    assert "Put quotes around a value with {{ }}" in project.problems("vars: {r: 3}\nblocks: {{ r }}\n")[0]


def test_files_are_looked_for_beside_the_experiment_and_not_here(project, monkeypatch) -> None:
    project.put("here.yaml", "")
    monkeypatch.chdir(project.root)
    (problem,) = project.problems("setup: [here.yaml]\nvariants: {a: }\n")
    assert "Paths are relative to the experiment file's folder" in problem


def test_variables(project) -> None:
    text = """\
        vars: {blocks: 8, delay: 2s, name: slow, percent: 5}
        experiment: trial-{{ name }}
        blocks: "{{ blocks }}"
        variants:
          "{{ name }}-{{ delay }}": {apply: [{fixedDelay: "{{ delay }}", value: "{{ percent }}"}]}
          other: {vars: {delay: 5s}, apply: [{fixedDelay: "{{ delay }}"}]}
        checks:
          "{{ name }}-{{ delay }}": ["p50 >= {{ delay }}"]
          slow-2s: ["error_rate < {{ percent }}%"]
          other: ["p50 >= {{ delay }}"]
    """
    loaded = project.load(text)
    assert (loaded.experiment.experiment, loaded.experiment.blocks) == ("trial-slow", 8)
    assert loaded.experiment.variants["slow-2s"].apply == [{"fixedDelay": "2s", "value": 5}]
    assert loaded.experiment.variants["other"].apply == [{"fixedDelay": "5s"}]
    assert [check.text for check in loaded.checks] == ["p50 >= 2s", "error_rate < 5%", "p50 >= 5s"]
    changed = project.load(text.replace("slow-2s:", "slow-3s:"), sets={"blocks": "9", "delay": "3s"})
    assert changed.experiment.blocks == 9
    assert list(changed.experiment.variants) == ["slow-3s", "other"]


def test_set_refuses_what_it_does_not_know(project) -> None:
    project.write("vars: {delay: 2s}\nvariants: {a: {vars: {own: 3}}, slow: }\n")
    assert project.problems(sets={"dealy": "3s"}) == [
        '--set dealy: no such variable; expected one of delay. Did you mean "delay"?'
    ]
    assert "The variants set it themselves: a" in project.problems(sets={"own": "3s"})[0]
    assert "not one plain value" in project.problems(sets={"delay": "[1]"})[0]
    assert project.load(sets={"delay": "@odd"}).experiment.variants


def test_secrets_come_from_declared_environment_variables(project) -> None:
    text = """\
        env: [TOKEN, UNSET]
        vars: {auth: "Bearer {{ env.TOKEN }}"}
        variants:
          a: {load: {headers: {Authorization: "{{ auth | upper }}", Accept: text/html}}}
          b: {}
    """
    loaded = project.load(text, environ={"TOKEN": "s3cret", "OTHER": "x"})
    load = loaded.experiment.variants["a"].load
    assert load.headers == {"Authorization": "BEARER S3CRET", "Accept": "text/html"}
    assert load.secret_headers == {"Authorization"}
    assert loaded.experiment.variants["b"].load.secret_headers == frozenset()
    assert loaded.secrets == {"s3cret", "Bearer s3cret", "BEARER S3CRET"}
    assert loaded.redact("curl -H 'x: s3cret' -H 'BEARER S3CRET'") == "curl -H 'x: ***' -H '***'"
    assert "s3cret" not in repr(loaded.secrets - loaded.secrets)
    assert loaded.experiment.env == ["TOKEN", "UNSET"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{{ env.OTHER }}", 'the environment variable "OTHER" is not declared under env'),
        ("{{ env.UNSET }}", 'the environment variable "UNSET" is declared but not set'),
    ],
)
def test_undeclared_and_unset_environment_variables(project, value, words) -> None:
    text = f"env: [UNSET]\nvariants: {{a: {{load: {{headers: {{A: '{value}'}}}}}}}}\n"
    (problem,) = project.problems(text, environ={"OTHER": "x"})
    assert problem.startswith("2:36: ")
    assert words in problem


def test_a_secret_is_not_in_the_message_about_it(project) -> None:
    text = "env: [WAIT]\nvariants: {a: {load: {duration: '{{ env.WAIT }}'}}}\n"
    (problem,) = project.problems(text, environ={"WAIT": "hunter22"})
    assert "***" in problem
    assert "hunter22" not in problem


def test_a_secret_never_becomes_a_name(project) -> None:
    text = "env: [T]\nexperiment: '{{ env.T }}'\nvariants: {a: }\n"
    assert "name can't hold a value from the environment" in project.problems(text, environ={"T": "token"})[0]


def test_quick(project) -> None:
    quick = project.load(FULL, head="", overrides=Overrides(quick=True)).experiment
    load = quick.variants["slow-ratings"].load
    assert (quick.quick, quick.blocks) == (True, 6)
    assert (load.warmup, load.duration, load.arrivals.rate) == (1, 4, 30)
    fast = project.load(FULL.replace("25/s", "90/s"), head="", overrides=Overrides(quick=True, blocks=2, duration="9s"))
    load = fast.experiment.variants["slow-ratings"].load
    assert (fast.experiment.blocks, load.duration, load.warmup, load.arrivals.rate) == (2, 9, 1, 90)


def test_quick_keeps_the_shape_of_stages(project) -> None:
    text = """\
        variants: {a: , b: {load: {users: 4}}}
        load:
          locust: {file: ../loadfiles/bookinfo.py}
          arrivals: {stages: [{rate: 5/s, duration: 30s}, {rate: 15/s, duration: 10s}]}
    """
    variants = project.load(text, head="", overrides=Overrides(quick=True)).experiment.variants
    assert [(stage.rate, stage.duration) for stage in variants["a"].load.arrivals.stages] == [(10, 3), (30, 1)]
    assert variants["a"].load.duration == 4
    assert (variants["b"].load.users, variants["b"].load.arrivals, variants["b"].load.duration) == (4, None, 4)


def test_other_overrides(project) -> None:
    loaded = project.load(FULL, head="", overrides=Overrides(blocks=3, duration="90s", warmup="0s"))
    load = loaded.experiment.variants["timeout-500ms"].load
    assert (loaded.experiment.blocks, load.duration, load.warmup, load.arrivals.rate) == (3, 90, 0, 25)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (Overrides(blocks=0), "--blocks 0: must be 1 or more"),
        (Overrides(duration="20"), "--duration: '20' is not a duration"),
        (Overrides(duration="0s"), "--duration 0s: must be more than zero"),
        (Overrides(only=("timeout",)), 'no variant "timeout"; expected one of slow-ratings, timeout-500ms'),
        (Overrides(context="c"), "--context and --namespace are for a cluster. Add --mesh cluster"),
        (Overrides(mesh="none"), "--mesh none needs a URL"),
    ],
)  # fmt: skip
def test_wrong_overrides(project, overrides, words) -> None:
    (problem,) = project.problems(FULL, head="", overrides=overrides)
    assert words in problem


def test_only_keeps_the_named_variants_and_their_checks(project) -> None:
    loaded = project.load(FULL, head="", overrides=Overrides(only=("timeout-500ms",)))
    assert list(loaded.experiment.variants) == ["timeout-500ms"]
    assert loaded.experiment.baseline == "timeout-500ms"
    assert [str(check) for check in loaded.checks] == [
        "timeout-500ms: p95 < 1.3s",
        "timeout-500ms: promql[reviews_5xx] > 3",
    ]
    assert list(loaded.experiment.checks) == ["timeout-500ms"]


def test_only_takes_the_name_that_the_matrix_expanded(project) -> None:
    text = "matrix: {d: [1, 2]}\nvariants: {a: {apply: [{d: '{{ d }}'}]}, b: }\n"
    loaded = project.load(text, overrides=Overrides(only=("b", "a")))
    assert list(loaded.experiment.variants) == ["a[d=1]", "a[d=2]", "b"]
    assert list(project.load(text, overrides=Overrides(only=("a[d=2]",))).experiment.variants) == ["a[d=2]"]


def test_the_mesh_can_be_another_one(project) -> None:
    there = project.load(FULL, head="", overrides=Overrides(mesh="cluster", context="c", namespace="n"))
    assert there.experiment.mesh == cluster(context="c", namespace="n", app="bookinfo")
    text = "mesh: {cluster: {app: httpbin, context: x}}\nvariants: {a: }\n"
    assert project.load(text, overrides=Overrides(mesh="local")).experiment.mesh == LocalMesh(app="httpbin")
    kept = project.load(text, overrides=Overrides(mesh="cluster", namespace="n")).experiment.mesh
    assert kept == cluster(app="httpbin", context="x", namespace="n")


@pytest.mark.parametrize(("mesh", "named"), [("", False), ("mesh: {app: bookinfo}\n", True)])
def test_an_app_is_brought_along_into_a_namespace_of_others_only_when_the_file_names_it(project, mesh, named) -> None:
    there = project.load(
        f"{mesh}variants: {{a: }}\n", overrides=Overrides(mesh="cluster", namespace="n")
    ).experiment.mesh
    assert ("app" in there.cluster.model_fields_set) == named
    assert there == cluster(app="bookinfo", namespace="n")


def test_too_few_blocks_are_worth_a_warning(project) -> None:
    text = "variants: {a: , b: }\nblocks: 6\nchecks: {b vs a: [p50 <= +10%, p75 <= +10%, requests == requests]}\n"
    (warning,) = project.load(text).warnings
    assert warning.endswith(":2:9: 6 blocks can't decide 2 comparisons: inconclusive with fewer than 7 blocks")
    assert project.load(text, overrides=Overrides(blocks=7)).warnings == ()


def test_capacity_needs_nothing_but_a_load(project) -> None:
    loaded = project.load('capacity: {objective: "p99 < 250ms and error_rate < 0.1%"}\n')
    assert list(loaded.experiment.variants) == ["baseline"]
    assert [str(part.metric) for part in loaded.objective] == ["p99", "error_rate"]
    assert (loaded.experiment.capacity.start, loaded.experiment.capacity.to) == (20, 2000)
    assert loaded.warnings == ()


def test_a_variant_named_on_stays_on(project) -> None:
    assert list(project.load("variants: {on: , off: }\nchecks: {on: [errors == 0]}\n").experiment.variants) == [
        "on",
        "off",
    ]


keys = [
    "experiment",
    "question",
    "mesh",
    "vars",
    "matrix",
    "env",
    "setup",
    "variants",
    "load",
    "blocks",
    "collect",
    "stop_if",
    "checks",
    "capacity",
    "a",
    "b",
]
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 30),
    st.floats(allow_nan=True),
    st.sampled_from(["2s", "20/s", "{{ a }}", "{{ env.A }}", "p50 < 2s", "a vs b", "istio/delay.yaml", "", "x" * 200]),
    st.text(max_size=8),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*keys, "apply", "locust", "file", "rate", "{{ a }}"]), inner, max_size=4),
    ),
    max_leaves=12,
)
marks = [": ", "\n", "  ", "- ", "{{", "}}", "[", "]", "&x", "*x", "!!int", "'", "|"]
files = st.one_of(
    st.text(max_size=60),
    st.dictionaries(st.sampled_from(keys), trees, max_size=8).map(json.dumps),
    st.lists(st.sampled_from([*keys, *marks]), max_size=20).map("".join),
)  # fmt: skip


@given(text=files)
@settings(
    max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
def test_any_text_is_an_experiment_or_an_input_error(project, text) -> None:
    project.path.write_text(text, encoding="utf-8", errors="replace")
    problems = []
    try:
        assert load_experiment(project.path, environ={}).experiment.variants
    except InputError as error:
        problems = error.problems
    assert all(problem.message and "\n" not in problem.message for problem in problems)
