"""pydantic's findings about a part of the experiment file, said in the words of someone who writes YAML."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from runner.errors import Problem
from runner.yamlfile.problems import problems_of, suggest

if TYPE_CHECKING:
    from runner.spec.templates import Findings
    from runner.yamlfile.documents import Document, Loc

Model = TypeVar("Model", bound=BaseModel)

_PLAINER = [
    (re.compile(r"input should be a valid dictionary( or instance of \w+)?"), "should be a mapping (key: value)"),
    (re.compile(r"input should be a valid list"), "should be a list ([...])"),
    (re.compile(r"input should be a valid string"), "should be text"),
    (re.compile(r"input should be a valid boolean.*"), "should be true or false"),
    (re.compile(r"input should be '"), "should be '"),
    (re.compile(r"list should have at least 1 item after validation, not 0"), "is empty"),
]


def read_part(model: type[Model], data: Any, document: Document, loc: Loc, findings: Findings) -> Model | None:
    """A part of a document as `model`; what is wrong with it goes to `findings`.

    Args:
        model: the pydantic model.
        data: the part.
        document: the document it is from, for positions.
        loc: where in it the part stands.
        findings: where problems go.

    Returns:
        None when there were problems.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        findings.add(*(_plainer(problem) for problem in problems_of(error, document, model, loc)))
        return None


def _plainer(problem: Problem) -> Problem:
    message = problem.message
    for pattern, words in _PLAINER:
        message = pattern.sub(words, message)
    return dataclasses.replace(problem, message=message)


def known_keys(
    model: type[BaseModel], document: Document, loc: Loc, data: dict[str, Any], findings: Findings
) -> dict[str, Any]:
    """The keys of a mapping that `model` has; each other one goes to `findings`."""
    names = [info.alias or name for name, info in model.model_fields.items()]
    for key in data:
        if key not in names:
            where = document.position((*loc, key), key=True)
            findings.add(Problem(f'unknown key "{key}"', where, "one of " + ", ".join(names), suggest(key, names)))
    return {key: value for key, value in data.items() if key in names}
