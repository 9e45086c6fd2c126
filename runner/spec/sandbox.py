"""The sandbox in which `{{ expressions }}` of an experiment file run.

Only `{{ }}` is syntax: blocks and comments are off, so that Lua's `{#t}` and a URL's `{%2F` stay text and no loop can
run away. A scalar that is one expression alone keeps the expression's type (`{{ n }}` with n = 3 is the number 3).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, TemplateSyntaxError, Undefined, meta, nodes
from jinja2.environment import TemplateExpression
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runner.yamlfile.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

ENV = "env"
_NEVER = "\0"  # no text that is rendered holds it, so what is spelt with it is switched off
_LONGEST = 100_000
_GREATEST_EXPONENT = 100
RESERVED = {
    ENV,
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "true",
    "false",
    "none",
    "True",
    "False",
    "None",
    "range",
    "self",
}


class EnvironmentAccessError(Exception):
    """`env.NAME` can't be read; not a LookupError, which Jinja would take for an undefined value."""

    def __init__(self, message: str, suggestion: str | None = None) -> None:
        self.suggestion = suggestion
        super().__init__(message)


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and not (abs(right) <= _GREATEST_EXPONENT and abs(left) <= _LONGEST):
            raise SecurityError("a power too large")
        if operator == "*":
            for sequence, times in ((left, right), (right, left)):
                if (
                    isinstance(sequence, str | list | tuple)
                    and isinstance(times, int)
                    and len(sequence) * times > _LONGEST
                ):
                    raise SecurityError("a repetition too long")
        return super().call_binop(context, operator, left, right)


def _as_yaml(value: Any) -> Any:
    """How a value reads inside of a text: as YAML spells it."""
    return {True: "true", False: "false", None: "null"}[value] if value is None or isinstance(value, bool) else value


def _make_sandbox() -> _Sandbox:
    sandbox = _Sandbox(
        undefined=StrictUndefined,
        finalize=_as_yaml,
        keep_trailing_newline=True,
        block_start_string=f"{_NEVER}{{%",
        block_end_string=f"%}}{_NEVER}",
        comment_start_string=f"{_NEVER}{{#",
        comment_end_string=f"#}}{_NEVER}",
        auto_reload=False,
        cache_size=0,
    )
    sandbox.globals = {"range": sandbox.globals["range"]}
    return sandbox


_SANDBOX = _make_sandbox()


class EnvironmentVariables:
    """What `env` is in a template: declared environment variables by name, remembering which values were read."""

    __slots__ = ("_declared", "_environ", "_read")

    def __init__(self, declared: frozenset[str], environ: Mapping[str, str]) -> None:
        self._declared = declared
        self._environ = environ
        self._read: set[str] = set()

    def __getitem__(self, name: object) -> str:
        if not isinstance(name, str):
            raise EnvironmentAccessError("env takes the name of an environment variable: env.NAME")
        if name not in self._declared:
            hint = suggest(name, self._declared) or f"Declare it at the top: env: [{name}]"
            raise EnvironmentAccessError(f'the environment variable "{name}" is not declared under env', hint)
        if name not in self._environ:
            raise EnvironmentAccessError(
                f'the environment variable "{name}" is declared but not set', f"export {name}=..."
            )
        self._read.add(self._environ[name])
        return self._environ[name]


def read_values(environment: EnvironmentVariables) -> frozenset[str]:
    """The values that templates read from the environment so far."""
    return frozenset(environment._read)  # noqa: SLF001 - kept off the object's public face, which templates see


def parse(text: str) -> nodes.Template:
    """A scalar's syntax tree.

    Raises:
        TemplateSyntaxError: it is none.
    """
    if _NEVER in text:
        raise TemplateSyntaxError("a NUL character beside {{ }}", 1)
    return _SANDBOX.parse(text)


def evaluate(tree: nodes.Template, context: dict[str, Any]) -> Any:
    """The value of a parsed scalar: of its expression's own type when it is one expression alone, else text."""
    match tree.body:
        case [nodes.Output(nodes=[nodes.Expr() as expression])] if not isinstance(expression, nodes.TemplateData):
            body: list[nodes.Node] = [nodes.Assign(nodes.Name("result", "store"), expression, lineno=1)]
            template = _SANDBOX.from_string(nodes.Template(body, lineno=1))
            value = TemplateExpression(template, undefined_to_none=False)(**context)
            return _plain(str(value) if isinstance(value, Undefined) else value)  # str() of an undefined value raises
    return _plain(_SANDBOX.from_string(tree).render(context))


def _plain(value: Any) -> Any:
    """A value that YAML could have held.

    Raises:
        TypeError: it is something else, such as a function.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list | tuple | range):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    raise TypeError("this gives no plain value")


def undeclared(tree: nodes.Template) -> set[str]:
    """Names that a parsed scalar takes from outside."""
    return meta.find_undeclared_variables(tree) - set(_SANDBOX.globals)


def names_in(text: str) -> set[str]:
    """Names that a scalar takes from outside; none when it can't be parsed (which is said when it is rendered)."""
    if "{{" not in text:
        return set()
    try:
        return undeclared(parse(text))
    except Exception:  # noqa: BLE001 - what is wrong with it is said when it is rendered
        return set()


def is_name(word: str) -> bool:
    """Whether a word can name a variable."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", word) is not None and word not in RESERVED
