"""The experiment file, read: a path in, a validated experiment out, or everything that is wrong with the file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from runner.errors import InputError, Position, Problem
from runner.spec.assemble import Assembler
from runner.spec.expand import expand
from runner.spec.expectations import Source
from runner.spec.overrides import Overrides
from runner.yamlfile.documents import Document, read_documents

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runner.spec.checks import Check, Condition, Guardrail
    from runner.spec.model import Experiment

__all__ = ["LoadedExperiment", "Overrides", "load_experiment"]

_SHORTEST_SECRET = 4


@dataclass(frozen=True, slots=True)
class LoadedExperiment:
    """An experiment file that is right.

    Attributes:
        experiment: what will be done: expanded, validated, the command line's options applied.
        checks: every check, parsed, of the variants that are kept.
        guardrails: every `stop_if`, parsed.
        objective: the conditions of `capacity.objective`; empty without one.
        phase_objectives: by variant with phases, the conditions of its `phases.objective`; empty without one.
        document: the expanded file with the places of the user's file; holds secrets, never to be written.
        path: the file.
        warnings: what the user should know, a sentence each.
        secrets: texts with values from the environment, which must never be written; `redact` takes them out.
    """

    experiment: Experiment
    checks: tuple[Check, ...]
    guardrails: tuple[Guardrail, ...]
    objective: tuple[Condition, ...]
    document: Document
    path: Path
    warnings: tuple[str, ...]
    secrets: frozenset[str] = field(repr=False)
    phase_objectives: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)

    def manifest_position(self, variant: str | None, index: int, *, phases: bool = False) -> Position:
        """Where entry `index` of a variant's `apply` (of its phases', of `setup` for None) stands in the user's file."""
        return self.document.position(_way(variant, index, phases=phases))

    def inline(self, variant: str | None, index: int, *, phases: bool = False) -> Document:
        """The inline resource at entry `index` of a variant's `apply` (of its phases', of `setup` for None), with its positions."""
        return self.document.under(*_way(variant, index, phases=phases))

    def redact(self, text: str) -> str:
        """The text without values from the environment, for anything that is written or shown."""
        return _redact(text, self.secrets)


def load_experiment(
    path: Path,
    *,
    sets: Mapping[str, str] | None = None,
    overrides: Overrides | None = None,
    environ: Mapping[str, str] | None = None,
) -> LoadedExperiment:
    """Read an experiment file.

    Args:
        path: the file.
        sets: `--set name=value`: values by name, as typed; each is read as a YAML scalar.
        overrides: the command line's options.
        environ: the environment; this process's when None.

    Raises:
        InputError: with every problem of the file, each with its place, what was expected and what was probably meant.
    """
    documents = _read(path)
    if not documents:
        raise InputError(
            Problem("the file is empty", Position(str(path), 1, 1), "an experiment: variants, load and checks")
        )
    if len(documents) > 1:
        raise InputError(Problem("a second document", documents[1].position(()), "one experiment in a file"))
    document = documents[0]
    if not isinstance(document.data, dict):
        raise InputError(
            Problem("an experiment should be a mapping", document.position(()), "keys such as variants: and load:")
        )
    if {"apiVersion", "kind"} <= document.data.keys():
        raise InputError(
            Problem(
                f"this is a {document.data['kind']}, no experiment",
                document.position(("kind",)),
                "keys such as variants: and load:",
                "List it under `apply` of a variant, or apply it with `meshtrial mesh apply -f`",
            )
        )
    source = Source(path.read_text(encoding="utf-8", errors="replace").splitlines())
    expansion = expand(document, sets or {}, os.environ if environ is None else environ)
    assembled = Assembler(path, document, expansion, source, overrides or Overrides()).assemble()
    secrets = expansion.secrets()
    if assembled is None or expansion.findings.problems:
        raise InputError([_redacted(problem, secrets) for problem in _in_order(expansion.findings.problems)])
    return LoadedExperiment(
        experiment=assembled.experiment,
        checks=tuple(assembled.checks),
        guardrails=tuple(assembled.guardrails),
        objective=assembled.objective,
        document=assembled.document,
        path=path,
        warnings=tuple(assembled.warnings),
        secrets=secrets,
        phase_objectives=assembled.phase_objectives,
    )


def _way(variant: str | None, index: int, *, phases: bool) -> tuple[str | int, ...]:
    if variant is None:
        return "setup", index
    return ("variants", variant, "phases", "apply", index) if phases else ("variants", variant, "apply", index)


def _read(path: Path) -> list[Document]:
    """The file's documents; broken YAML beside `{{` gets the hint that it needs most."""
    try:
        return read_documents(path)
    except InputError as error:
        where = error.problems[0].where
        if where and "{{" in "".join(
            path.read_text(encoding="utf-8", errors="replace").splitlines()[where.line - 1 :][:1]
        ):
            hint = 'Put quotes around a value with {{ }}: rate: "{{ rate }}"'
            raise InputError([replace(problem, suggestion=hint) for problem in error.problems]) from None
        raise


def _in_order(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.where.line, problem.where.column) if problem.where else (0, 0))


def _redact(text: str, secrets: frozenset[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        if secret == text or len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


def _redacted(problem: Problem, secrets: frozenset[str]) -> Problem:
    if not secrets:
        return problem

    def clean(text: str | None) -> str | None:
        return text and _redact(text, secrets)

    return Problem(_redact(problem.message, secrets), problem.where, clean(problem.expected), clean(problem.suggestion))
