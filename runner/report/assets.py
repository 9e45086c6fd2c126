"""The files that are laid into the page: templates, style, script, and uPlot from its own package."""

from __future__ import annotations

import importlib.util
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from runner.errors import OutsideError
from runner.report import marks

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


def uplot(name: str) -> Markup:
    """A file of uPlot (`uPlot.iife.js`, `uPlot.min.css`), from the installed package `uplot-python`.

    The package is found, never imported: importing it would bring in IPython.

    Raises:
        OutsideError: the package is not installed, or has no such file.
    """
    try:
        text = (_uplot_files() / "static" / name).read_text(encoding="utf-8")
    except (OSError, LookupError) as error:
        raise OutsideError(
            f"the charts' library is missing ({name} of the package uplot-python: {error})",
            advice="Install meshtrial again, with its dependencies",
        ) from None
    return inline(text, name)


def own(name: str) -> Markup:
    """A style sheet or script of this package, from `templates/`."""
    return inline((files("runner.report") / "templates" / name).read_text(encoding="utf-8"), name)


def inline(text: str, name: str) -> Markup:
    """A trusted file as it can stand inside a style or script tag.

    Raises:
        ValueError: the text would end the tag.
    """
    if "</script" in text.lower() or "</style" in text.lower():
        raise ValueError(f"{name} can't be laid into a page: it would end its own tag")
    return Markup(text)  # noqa: S704 - a file of an installed package, not of a user


def ticked(text: str) -> Markup:
    """A sentence in which names stand in backticks, with those names as code; everything is escaped."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )


@cache
def environment() -> Environment:
    """The templates' environment: everything is escaped, unknown names are errors."""
    env = Environment(
        loader=PackageLoader("runner.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals["series_mark"] = marks.series
    env.filters["ticked"] = ticked
    return env


def _uplot_files() -> Traversable:
    spec = importlib.util.find_spec("uplot")
    if spec is None or spec.loader is None:
        raise LookupError("not installed")
    reader = getattr(spec.loader, "get_resource_reader", lambda _name: None)(spec.name)
    if reader is None:
        raise LookupError("not readable")
    found: Traversable = reader.files()
    return found
