"""Which words the page has to explain; the explanations are in `templates/glossary.html`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.results.document.run import RunDocument


@dataclass(frozen=True, slots=True)
class Glossary:
    """What occurs on the page, for readers who know their mesh and no statistics."""

    comparisons: bool
    adjusted: bool
    open_loop: bool
    closed_loop: bool
    mesh: bool


def glossary(document: RunDocument) -> Glossary:
    """The words that a run's page uses."""
    return Glossary(
        comparisons=bool(document.comparisons),
        adjusted=any(comparison.p_adjusted is not None for comparison in document.comparisons),
        open_loop=any(not variant.closed_loop for variant in document.variants),
        closed_loop=any(variant.closed_loop for variant in document.variants),
        mesh=document.mesh.kind != "none",
    )
