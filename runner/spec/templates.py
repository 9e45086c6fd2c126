"""`{{ variables }}` of an experiment file: what a scalar may use and what it becomes, one at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError

from runner.errors import Position, Problem
from runner.spec.sandbox import ENV, EnvironmentAccessError, EnvironmentVariables, evaluate, names_in, parse, undeclared
from runner.yamlfile.documents import Document, Loc
from runner.yamlfile.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping


class RenderError(Exception):
    """A scalar can't be rendered; `problem` is None when its cause is reported elsewhere already."""

    def __init__(self, problem: Problem | None) -> None:
        self.problem = problem
        super().__init__(str(problem))


@dataclass(slots=True)
class Findings:
    """What rendering a file brought to light.

    Attributes:
        problems: everything wrong so far, without repeats.
        failed: places whose value could not be rendered: what else is said about them is noise.
        secrets: rendered texts that hold values from the environment.
    """

    problems: list[Problem] = field(default_factory=list)
    failed: set[Position] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)

    def add(self, *problems: Problem) -> None:
        """Note problems, unless they are known, or about a value that failed to render."""
        for problem in problems:
            if problem not in self.problems and problem.where not in self.failed:
                self.problems.append(problem)

    def fail(self, problem: Problem | None, where: Position) -> None:
        """Note that the value at `where` could not be rendered."""
        if problem:
            self.add(problem)
        self.failed.add(where)


class Scope:
    """The variables that a scalar can use.

    Args:
        written: variables as the file writes them; each may use the others, in any order.
        fixed: variables whose value is final: those of `--set`, those of the matrix.
        environment: what `env` gives.
        findings: where problems inside of variables go.
        axes: matrix variables, which have no value in this scope.
    """

    def __init__(
        self,
        written: Mapping[str, Document],
        fixed: Mapping[str, Any],
        environment: EnvironmentVariables,
        findings: Findings,
        axes: frozenset[str] = frozenset(),
    ) -> None:
        self.written = {name: document for name, document in written.items() if name not in fixed}
        self.fixed = dict(fixed)
        self.environment = environment
        self.findings = findings
        self.axes = axes - set(self.written) - set(self.fixed)
        self._values: dict[str, Any] = {}
        self._open: list[str] = []

    def over(self, written: Mapping[str, Document], fixed: Mapping[str, Any]) -> Scope:
        """This scope with a variant's own variables and matrix values laid over it."""
        kept = {name: value for name, value in self.fixed.items() if name not in written}
        return Scope({**self.written, **written}, {**kept, **fixed}, self.environment, self.findings, self.axes)

    @property
    def names(self) -> list[str]:
        """Every variable that has a value here."""
        return sorted({*self.written, *self.fixed})

    def uses(self, text: str) -> frozenset[str]:
        """All names that a text depends on, those inside of the variables it uses included."""
        found: set[str] = set()
        waiting = list(names_in(text))
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                if name in self.written:
                    waiting += [more for part in texts_in(self.written[name].data) for more in names_in(part)]
        return frozenset(found)

    def value(self, name: str) -> Any:
        """The value of a variable.

        Raises:
            RenderError: it can't be rendered (reported where it is written).
        """
        if name in self.fixed:
            return self.fixed[name]
        if name not in self._values:
            document = self.written[name]
            where = document.position(())
            if name in self._open:
                way = " -> ".join([*self._open[self._open.index(name) :], name])
                self.findings.fail(Problem(f"the variable {name} is made from itself: {way}", where), where)
                raise RenderError(None)
            self._open.append(name)
            try:
                rendered = render_document(document, self, self.findings)
            finally:
                self._open.pop()
            if any(document.position(loc) in self.findings.failed for loc in document.values):
                raise RenderError(None)
            self._values[name] = rendered.data
        return self._values[name]

    def render(self, text: str, where: Position) -> Any:
        """What a scalar becomes.

        Args:
            text: the scalar; without `{{` it stays as it is.
            where: its place.

        Raises:
            RenderError: it can't be rendered.
        """
        if "{{" not in text:
            return text
        names: set[str] = set()
        try:
            tree = parse(text)
            names = undeclared(tree)
            context = {name: self.value(name) for name in names if name in self.written or name in self.fixed}
            context.setdefault(ENV, self.environment)
            return evaluate(tree, context)
        except RenderError:
            raise
        except Exception as error:  # noqa: BLE001 - an expression of the user's may raise anything
            raise RenderError(self._problem(error, text, names, where)) from None

    def _problem(self, error: Exception, text: str, names: set[str], where: Position) -> Problem:
        shown = " ".join(text.split())
        shown = f'"{shown[:77]}..."' if len(shown) > 80 else f'"{shown}"'  # noqa: PLR2004 - a line of a terminal
        if isinstance(error, UndefinedError):
            known = {*self.written, *self.fixed, ENV}
            for name in sorted(names - known):
                if name in self.axes:
                    hint = "Use it inside of variants, in the experiment's load, or in checks"
                    return Problem(f"{shown}: the matrix variable {name} has no one value here", where, suggestion=hint)
                expected = (
                    "one of " + ", ".join(self.names) if self.names else "a variable (none is defined under vars)"
                )
                return Problem(f'{shown}: no variable "{name}"', where, expected, suggest(name, self.names))
        if isinstance(error, SecurityError):
            return Problem(f"{shown}: unsafe expression: {error}", where)
        if isinstance(error, EnvironmentAccessError):
            return Problem(f"{shown}: {error}", where, suggestion=error.suggestion)
        if isinstance(error, TemplateSyntaxError):
            return Problem(f"{shown}: {error.message}", where, suggestion="To write braces as text: {{ '{{' }}")
        return Problem(f"{shown}: {str(error) or type(error).__name__}", where)


def texts_in(data: Any) -> list[str]:
    """Every text among plain values, at any depth."""
    if isinstance(data, str):
        return [data]
    parts = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return [text for part in parts for text in texts_in(part)]


def render_document(document: Document, scope: Scope, findings: Findings) -> Document:
    """The document with every scalar rendered, positions kept.

    Scalars that can't be rendered keep their text and are noted in `findings`.
    """

    def walk(data: Any, loc: Loc) -> Any:
        if isinstance(data, dict):
            for key in data:
                if "{{" in key:
                    where = document.position((*loc, key), key=True)
                    findings.add(
                        Problem("a key can't be made from variables here", where, suggestion="Only variants' names can")
                    )
            return {key: walk(value, (*loc, key)) for key, value in data.items()}
        if isinstance(data, list):
            return [walk(value, (*loc, index)) for index, value in enumerate(data)]
        return render_scalar(data, scope, findings, document.position(loc)) if isinstance(data, str) else data

    return Document(document.file, walk(document.data, ()), document.values, document.keys)


def render_scalar(text: str, scope: Scope, findings: Findings, where: Position) -> Any:
    """One scalar rendered; what goes wrong is noted in `findings`, and the text stays as it is."""
    try:
        value = scope.render(text, where)
    except RenderError as error:
        findings.fail(error.problem, where)
        return text
    if value is not text and ENV in scope.uses(text):
        findings.secrets.update(part for part in texts_in(value) if part)
    return value
