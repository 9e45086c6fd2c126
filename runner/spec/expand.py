"""From the file as written to the file as meant: variables rendered, the matrix turned into variants, loads merged.

Every part keeps its positions: an expanded variant is a document of its own whose places are those of the user's file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runner.errors import InputError, Problem
from runner.spec.sandbox import ENV, EnvironmentVariables
from runner.spec.templates import Findings, Scope, render_document, texts_in
from runner.spec.variants import Expansion, expand_variants, spell, try_variables, variables_at, without
from runner.yamlfile.documents import Document, parse_documents
from runner.yamlfile.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

_APART = {"vars", "matrix", "variants", "load", "phases", "checks"}


def expand(document: Document, sets: Mapping[str, str], environ: Mapping[str, str]) -> Expansion:
    """Render an experiment file's variables and expand its matrix.

    Args:
        document: the file; its data is a mapping.
        sets: `--set name=value`: values by name, as typed.
        environ: the environment.

    Returns:
        What could be expanded; what could not is in `findings`.
    """
    findings = Findings()
    environment = EnvironmentVariables(_declared(document, findings), environ)
    written = variables_at(document, ("vars",), findings)
    axes = _matrix(document, Scope(written, {}, environment, findings), findings)
    for name in sorted(set(written) & set(axes)):
        findings.add(
            Problem(f"{name} stands under vars and under matrix", document.position(("matrix", name), key=True))
        )
    fixed = _set_values(document, sets, [*written, *axes], findings)
    axes = {name: [fixed.pop(name)] if name in fixed else values for name, values in axes.items()}
    scope = Scope(written, fixed, environment, findings, frozenset(axes))
    try_variables(scope, findings)
    settings = render_document(without(document, _APART), scope, findings)
    _keep_env_out_of_name(document, scope, findings)
    expansion = Expansion(settings, [], scope, findings)
    expand_variants(document, axes, expansion)
    return expansion


def _declared(document: Document, findings: Findings) -> frozenset[str]:
    names = document.data.get(ENV)
    if not isinstance(names, list):
        return frozenset()
    for index, name in enumerate(names):
        if isinstance(name, str) and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            findings.add(Problem(f"{name!r} can't name an environment variable", document.position((ENV, index))))
    return frozenset(name for name in names if isinstance(name, str))


def _matrix(document: Document, scope: Scope, findings: Findings) -> dict[str, list[Any]]:
    """The matrix's variables, each with its values."""
    axes: dict[str, list[Any]] = {}
    for name, part in variables_at(document, ("matrix",), findings).items():
        place = part.position(())
        if not isinstance(part.data, list) or not part.data:
            findings.add(Problem(f"{name} should be a list with a value or more", place, f"{name}: [0.5s, 1s]"))
            continue
        if any(ENV in scope.uses(text) for text in texts_in(part.data)):
            findings.add(Problem("the matrix can't read the environment: its values become names", place))
            continue
        values = render_document(part, scope, findings).data
        for index, value in enumerate(values):
            if isinstance(value, dict | list):
                findings.add(Problem(f"{name}[{index}] should be one plain value", part.position((index,))))
            elif any(spell(value) == spell(earlier) for earlier in values[:index]):
                findings.add(Problem(f"{spell(value)} stands in {name} twice", part.position((index,))))
        axes[name] = [value for value in values if not isinstance(value, dict | list)]
    return {name: values for name, values in axes.items() if values}


def _set_values(document: Document, sets: Mapping[str, str], known: list[str], findings: Findings) -> dict[str, Any]:
    """The values of `--set`, each read as a YAML scalar."""
    fixed: dict[str, Any] = {}
    for name, text in sets.items():
        if name not in known:
            expected = f"one of {', '.join(known)}" if known else "a name under vars (the file has none)"
            bodies = document.data.get("variants")
            owners = [key for key, body in bodies.items() if _own_var(body, name)] if isinstance(bodies, dict) else []
            hint = f"The variants set it themselves: {', '.join(owners)}" if owners else suggest(name, known)
            findings.add(Problem(f"--set {name}: no such variable", None, expected, hint))
            continue
        try:
            documents = parse_documents(text, f"--set {name}")
            value: Any = documents[0].data if len(documents) == 1 else text
        except InputError:
            value = text
        if isinstance(value, dict | list):
            findings.add(
                Problem(
                    f"--set {name}: {text!r} is not one plain value", None, "such as 2s", "Quote it to make it text"
                )
            )
            continue
        fixed[name] = value
    return fixed


def _own_var(body: Any, name: str) -> bool:
    own = body.get("vars") if isinstance(body, dict) else None
    return isinstance(own, dict) and name in own


def _keep_env_out_of_name(document: Document, scope: Scope, findings: Findings) -> None:
    name = document.data.get("experiment")
    if isinstance(name, str) and ENV in scope.uses(name):
        findings.add(
            Problem("the experiment's name can't hold a value from the environment", document.position(("experiment",)))
        )
