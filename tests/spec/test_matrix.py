from __future__ import annotations

import pytest

LONG = """\
    matrix: {delay: [0.5s, 1s], percent: [50, 100]}
    variants:
      plain: {}
      both: {apply: [{kind: VirtualService, delay: "{{ delay }}", share: "{{ percent }}"}]}
      one: {apply: [{kind: VirtualService, delay: "{{ delay }}"}]}
      named-{{ percent }}: {apply: [{kind: VirtualService, share: "{{ percent }}%"}]}
"""


def test_a_variant_is_expanded_by_the_matrix_variables_that_it_uses(project) -> None:
    experiment = project.load(LONG).experiment
    assert list(experiment.variants) == [
        "plain",
        "both[delay=0.5s,percent=50]",
        "both[delay=0.5s,percent=100]",
        "both[delay=1s,percent=50]",
        "both[delay=1s,percent=100]",
        "one[delay=0.5s]",
        "one[delay=1s]",
        "named-50",
        "named-100",
    ]
    assert experiment.baseline == "plain"
    assert experiment.variants["both[delay=1s,percent=50]"].apply == [
        {"kind": "VirtualService", "delay": "1s", "share": 50}
    ]
    assert experiment.variants["named-100"].apply == [{"kind": "VirtualService", "share": "100%"}]
    assert all(name == variant.name for name, variant in experiment.variants.items())


def test_the_matrix_reaches_through_variables_and_the_common_load(project) -> None:
    text = """\
        vars: {pause: "{{ delay }}", other: 1}
        matrix: {delay: [1s, 2s], rate: [10/s, 40/s]}
        variants:
          a: {apply: [{delay: "{{ pause }}"}]}
          b: {load: {arrivals: {rate: 5/s}}}
          c: {vars: {rate: 7/s}}
        load: {locust: {file: ../loadfiles/bookinfo.py}, arrivals: {rate: "{{ rate }}"}}
    """
    variants = project.load(text, head="").experiment.variants
    assert list(variants) == [
        "a[delay=1s,rate=10/s]",
        "a[delay=1s,rate=40/s]",
        "a[delay=2s,rate=10/s]",
        "a[delay=2s,rate=40/s]",
        "b",
        "c",
    ]
    assert [variant.load.arrivals.rate for variant in variants.values()] == [10, 40, 10, 40, 5, 7]


def test_checks_reach_every_expansion_with_its_own_values(project) -> None:
    checks = project.load(
        LONG
        + """\
    checks:
      one: ["p50 >= {{ delay }}"]
      one vs plain: ["p50 <= +{{ 10 * 2 }}%"]
      both vs one: ["p50 within 5%"]
      named-{{percent}}: ["error_rate < {{ percent }}%"]
      named-100 vs named-50: ["p95 <= +10%"]
      one[delay=1s] vs one: ["p99 >= +10%"]
"""
    ).checks
    assert [str(check) for check in checks] == [
        "one[delay=0.5s]: p50 >= 0.5s",
        "one[delay=1s]: p50 >= 1s",
        "one[delay=0.5s] vs plain: p50 <= +20%",
        "one[delay=1s] vs plain: p50 <= +20%",
        "both[delay=0.5s,percent=50] vs one[delay=0.5s]: p50 within 5%",
        "both[delay=0.5s,percent=100] vs one[delay=0.5s]: p50 within 5%",
        "both[delay=1s,percent=50] vs one[delay=1s]: p50 within 5%",
        "both[delay=1s,percent=100] vs one[delay=1s]: p50 within 5%",
        "named-50: error_rate < 50%",
        "named-100: error_rate < 100%",
        "named-100 vs named-50: p95 <= +10%",
        "one[delay=1s] vs one[delay=0.5s]: p99 >= +10%",
    ]


def test_set_narrows_the_matrix_to_one_value(project) -> None:
    loaded = project.load(LONG, sets={"delay": "3s"})
    assert "one[delay=3s]" in loaded.experiment.variants
    assert len(loaded.experiment.variants) == 6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "matrix: {d: [1, 2]}\nvariants: {'v-{{ d }}': {}, v-1: {}}\n",
            ['2:29: two variants are named "v-1" after expansion'],
        ),
        (
            "matrix: {d: [1, 2], e: [3, 4]}\nvariants: {'v-{{ d }}': {apply: [{x: '{{ e }}'}]}}\n",
            ['2:12: two variants are named "v-1" after expansion. Put {{ e }} in its name'],
        ),
        ("matrix: {d: []}\nvariants: {a: {}}\n", ["1:13: d should be a list with a value or more"]),
        ("matrix: {d: 3}\nvariants: {a: {}}\n", ["1:13: d should be a list with a value or more"]),
        ("matrix: {d: [1, 1]}\nvariants: {a: {}}\n", ["1:17: 1 stands in d twice"]),
        ("matrix: {d: [[1]]}\nvariants: {a: {}}\n", ["1:14: d[0] should be one plain value"]),
        ("matrix: [d]\nvariants: {a: {}}\n", ["1:9: matrix should be a mapping"]),
        ("vars: {d: 1}\nmatrix: {d: [1]}\nvariants: {a: {}}\n", ["2:10: d stands under vars and under matrix"]),
        ("matrix: {env: [1]}\nvariants: {a: {}}\n", ['1:10: "env" can\'t name a variable']),
        ("matrix: {d: [1]}\nquestion: '{{ d }}'\nvariants: {a: {}}\n", ["2:11: ", "d has no one value here"]),
        (
            "matrix: {d: [1]}\nvariants: {a: {}}\nchecks: {a: ['p50 < {{ d }}s']}\n",
            ["3:14: ", "d has no one value here"],
        ),
        ("matrix: {d: [a vs b]}\nvariants: {'{{ d }}': {}}\n", ["2:12: ", 'can\'t hold " vs "']),
        (
            "env: [T]\nmatrix: {d: ['{{ env.T }}']}\nvariants: {a: {}}\n",
            ["2:13: ", "the matrix can't read the environment"],
        ),
        ("env: [T]\nvariants: {'{{ env.T }}': {}}\n", ["2:12: ", "can't hold a value from the environment"]),
        (
            f"matrix: {{d: {list(range(101))}}}\nvariants: {{'{{{{ d }}}}': {{}}}}\n",
            ["makes more than 100 variants"],
        ),
    ],
)
def test_what_a_matrix_can_not_be(project, text, expected) -> None:
    found = project.problems(text, environ={"T": "x"})
    assert all(part in found[0] for part in expected)
    assert len(found) == 1


def test_a_matrix_variable_that_nothing_uses_is_worth_a_warning(project) -> None:
    (warning,) = project.load("matrix: {d: [1, 2]}\nvariants: {a: {}}\nchecks: {a: [errors == 0]}\n").warnings
    assert warning == f"{project.path}:1:10: no variant uses the matrix variable d"


def test_errors_inside_an_expanded_variant_are_told_once(project) -> None:
    assert len(project.problems("matrix: {d: [1, 2]}\nvariants: {'v-{{ d }}': {aply: [], url: 3}}\n")) == 2
