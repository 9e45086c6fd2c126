from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runner.errors import Position
from runner.spec.sandbox import EnvironmentVariables
from runner.spec.templates import Findings, RenderError, Scope
from runner.yamlfile.documents import parse_documents

PLACE = Position("f.yaml", 3, 4)


def scope(text="{}", fixed=None, declared=(), environ=None, axes=()) -> Scope:
    (document,) = parse_documents(text, "f.yaml")
    written = {name: document.under(name) for name in document.data}
    environment = EnvironmentVariables(frozenset(declared), environ or {})
    return Scope(written, fixed or {}, environment, Findings(), frozenset(axes))


def refused(scope: Scope, text: str) -> str:
    with pytest.raises(RenderError) as caught:
        scope.render(text, PLACE)
    assert caught.value.problem is not None
    assert caught.value.problem.where == PLACE
    return str(caught.value.problem)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ n }}", 3),
        ("{{ n + 1 }}", 4),
        ("{{ share }}", "50%"),
        ("{{ n }}/s", "3/s"),
        ("{{ flag }}", True),
        ("{{ flag }}-x", "true-x"),
        ("{{ half }}s", "0.5s"),
        ("{{ none }}", None),
        ("{{ limits.max }}", 7),
        ("{{ limits }}", {"max": 7, "text": "3 of 7"}),
        ("{{ limits.text }}", "3 of 7"),
        ("{{ list }}", [1, 2]),
        ("{{ 'a' if flag else 'b' }}", "a"),
        ("plain", "plain"),
        ("{% if x %}{# c #}", "{% if x %}{# c #}"),
        ("{#t} {{ n }} {% raw", "{#t} 3 {% raw"),
        ("{{ '{{' }} x", "{{ x"),
        ("{{ n }}\n", "3\n"),
        ("{{ later }}", "now 3"),
    ],
)
def test_values_keep_their_type_when_they_stand_alone(text, value) -> None:
    variables = """
        later: "{{ word }} {{ n }}"
        n: 3
        word: now
        share: 50%
        half: 0.5
        flag: true
        none: null
        limits: {max: 7, text: "{{ n }} of 7"}
        list: [1, 2]
    """
    got = scope(variables).render(text, PLACE)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ dleay }}", 'no variable "dleay"; expected one of delay. Did you mean "delay"?'),
        ("{{ delay.x }}", "has no attribute 'x'"),
        ("{{ axis }}", "the matrix variable axis has no one value here"),
        ("{{ delay", "unexpected end of template"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ delay + 1 }}", "can only concatenate str"),
        ("{{ range }}", "no plain value"),
        ("{{ delay.upper }}", "no plain value"),
        ("{{ ''.__class__ }}", "unsafe"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ (delay.__class__ ~ '') }}", "unsafe"),
        ("{{ 10 ** 10 ** 10 }}", "unsafe expression: a power too large"),
        ("{{ 'a' * 10 ** 9 }}", "unsafe expression: a repetition too long"),
        ("{{ [].append(1) }}", "unsafe"),
        ("{{ cycler('a') }}", 'no variable "cycler"'),
        ("{{ \0 }}", "NUL"),
        ("{{ env.TOKN }}", 'not declared under env. Did you mean "TOKEN"?'),
        ("{{ env.PATH }}", "Declare it at the top: env: [PATH]"),
        ("{{ env.UNSET }}", '"UNSET" is declared but not set'),
        ("{{ env.UNSET | default('x') }}", "declared but not set"),
        ("{{ env }}", "no plain value"),
        ("{{ env | list }}", "env takes the name"),
        ("{{ env._environ }}", "unsafe"),
        ("{{ env['_read'] }}", "not declared"),
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "{{ (((("),
    ],
)
def test_what_can_not_be_rendered_says_why(text, words) -> None:
    variables = scope("delay: 2s", declared=("TOKEN", "UNSET"), environ={"TOKEN": "t", "PATH": "/"}, axes=("axis",))
    assert words in refused(variables, text)


def test_a_default_may_stand_in_for_a_variable() -> None:
    assert scope().render("{{ rate | default('20/s') }}", PLACE) == "20/s"


def test_environment_variables_are_read_by_name() -> None:
    variables = scope('token: "Bearer {{ env.TOKEN }}"', declared=("TOKEN",), environ={"TOKEN": "s3cret"})
    assert variables.render("{{ token }}", PLACE) == "Bearer s3cret"
    assert variables.uses("{{ token }}") == {"token", "env"}
    assert variables.findings.secrets == {"Bearer s3cret"}


def test_variables_that_need_each_other_are_reported_once_where_they_are_written() -> None:
    variables = scope('a: "{{ b }}"\nb: "{{ a }}"')
    for text in ("{{ a }}", "{{ b }}", "{{ a }}{{ b }}"):
        with pytest.raises(RenderError) as caught:
            variables.render(text, PLACE)
        assert caught.value.problem is None
    (problem,) = variables.findings.problems
    assert str(problem) == "f.yaml:1:4: the variable a is made from itself: a -> b -> a"


def test_a_variants_variables_reach_into_those_made_from_them() -> None:
    outer = scope('delay: 2s\nlabel: "for {{ delay }}"')
    (inner,) = parse_documents("delay: 5s", "f.yaml")
    assert outer.render("{{ label }}", PLACE) == "for 2s"
    assert outer.over({"delay": inner.under("delay")}, {}).render("{{ label }}", PLACE) == "for 5s"


parts = st.sampled_from([*".'()[]|~1*- \n", *["{{", "}}", "n", "env", "A", "join", "if", "{%", "{#"]])
expressions = st.lists(parts, max_size=14).map("".join)


@given(st.one_of(st.text(max_size=30), expressions))
@example("{{ n|xmlattr }}")
@example("{{ {}|tojson }}")
def test_any_text_renders_or_is_refused_at_its_place(text) -> None:
    value, problem = None, None
    try:
        value = scope("n: 3", declared=("A",), environ={"A": "x"}).render(text, PLACE)
    except RenderError as error:
        problem = error.problem
    assert problem is None or problem.where == PLACE
    assert value is None or isinstance(value, str | int | float | list | dict)
    assert problem or "{{" in text or value == text
