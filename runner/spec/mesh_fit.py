"""What does not fit the kind of mesh or of load that an experiment asks for: an error, never silence or a false comfort."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import Problem
from runner.spec.mesh import NoMesh

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.spec.checks import Guardrail
    from runner.spec.mesh import MeshChoice
    from runner.spec.model import Variant
    from runner.yamlfile.documents import Document


def ignored_by_mesh(
    mesh: MeshChoice, variants: Mapping[str, Variant], documents: Mapping[str, Document]
) -> Iterator[Problem]:
    """Keys of variants that this kind of mesh would have to ignore.

    Args:
        mesh: the mesh.
        variants: by name.
        documents: each variant's expanded settings, by name.
    """
    for name, variant in variants.items():
        document = documents[name]
        if isinstance(mesh, NoMesh):
            if variant.apply:
                where = document.position(("apply",), key=True)
                yield Problem("a mesh of kind none applies nothing", where, "no apply")
            if variant.phases:
                where = document.position(("phases",), key=True)
                yield Problem("a mesh of kind none applies nothing", where, "no phases")
            if not variant.load.at_gateway:
                where = document.position(("load", "from"))
                yield Problem("a mesh of kind none has no workload that load could leave from", where, "no from")
        elif variant.url is not None:
            where = document.position(("url",), key=True)
            yield Problem("url is for a mesh of kind none; this mesh's entry is its own", where, "no url")


def watched_by_nobody(mesh: MeshChoice, guardrails: list[Guardrail]) -> Iterator[Problem]:
    """Guardrails that could never stop anything."""
    for guardrail in guardrails:
        if isinstance(mesh, NoMesh) and guardrail.metric.name == "proxy":
            yield Problem(
                f"a mesh of kind none has no proxies, so nothing could watch {guardrail.metric}",
                guardrail.position,
                "a limit on what the load generator sees, such as error_rate > 50% for 5s",
            )


def watched_blindly(
    guardrails: list[Guardrail], variants: Mapping[str, Variant], documents: Mapping[str, Document]
) -> Iterator[Problem]:
    """Without its access log fortio tells nothing before a window is over, so no guardrail could stop it."""
    for name, variant in variants.items():
        if guardrails and variant.load.fortio and not variant.load.fortio.access_log:
            yield Problem(
                "without its access log fortio tells nothing while it runs, so stop_if could not stop it",
                documents[name].position(("load", "fortio", "access_log"), key=True),
                "access_log: true, or no stop_if",
            )
