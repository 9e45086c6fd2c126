"""How the run was made: what a colleague needs to trust it and to repeat it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.report import words
from runner.units import format_duration

if TYPE_CHECKING:
    from runner.results.document.run import MeshRecord, RunDocument

Fact = tuple[str, str]
"""A term and what is so."""

_MESHES = {
    "local": "embedded mesh of real Envoy proxies",
    "cluster": "Kubernetes cluster with Istio",
    "none": "no mesh: a plain URL under load",
}
_KNOWN_MESH_FIELDS = {"kind", "envoy", "app", "proxies", "joined", "url"}


def facts(document: RunDocument) -> list[Fact]:
    """Everything about the run itself, in reading order, without empty entries."""
    mesh = document.mesh
    kind = _MESHES[mesh.kind] + (f", {words.plural(len(mesh.proxies), 'proxy', 'proxies')}" if mesh.proxies else "")
    joined = " (already up; given back as it was)" if mesh.joined else ""
    extra = [
        (name.replace("_", " "), _value(value))
        for name, value in (mesh.model_extra or {}).items()
        if name not in _KNOWN_MESH_FIELDS
    ]
    return [
        (term, text)
        for term, text in [
            ("Started", words.moment(document.started)),
            ("Ended", words.moment(document.ended)),
            ("Took", _took(document)),
            ("Design", design(document)),
            ("Order of variants", f"random within each block, seed {document.seed}"),
            ("Mesh", kind + joined),
            ("Target", mesh.url or ""),
            ("App", mesh.app or ""),
            ("Envoy", mesh.envoy or ""),
            ("Istio", _istio(mesh)),
            *extra,
            ("Proxies", ", ".join(mesh.proxies)),
            ("Meshtrial", document.meshtrial),
            *((name, version) for name, version in sorted(document.versions.items())),
            *((f"Machine: {name.replace('_', ' ')}", _value(value)) for name, value in document.machine.items()),
            ("After the run", document.restored),
        ]
        if text and text != words.NONE
    ]


def _istio(mesh: MeshRecord) -> str:
    """`1.31.0, revision default`; empty for a mesh without a control plane."""
    revisions = f"{'revision' if len(mesh.revisions) == 1 else 'revisions'} {', '.join(mesh.revisions)}"
    return ", ".join(text for text in (mesh.istio or "", revisions if mesh.revisions else "") if text)


def design(document: RunDocument) -> str:
    """The run's plan in words: `6 blocks x 2 variants, 20 s each after 5 s of warm-up`; without a time when requests are counted."""
    if document.capacity is not None:
        searches = words.plural(document.blocks, "search", "searches")
        most = format_duration(document.capacity.most_load_s)
        return f"{searches} for each of {words.plural(len(document.variants), 'variant')}, at most {most} of load each"
    blocks = words.plural(document.blocks, "block")
    variants = words.plural(len(document.variants), "variant")
    warmup = f" after {format_duration(document.warmup_s)} of warm-up" if document.warmup_s else ", no warm-up"
    quick = ", --quick" if document.quick else ""
    each = f", {format_duration(document.duration_s)} each" if document.duration_s else ""
    return f"{blocks} \N{MULTIPLICATION SIGN} {variants}{each}{warmup}{quick}"


def _took(document: RunDocument) -> str:
    seconds = words.elapsed(document.started, document.ended)
    return format_duration(seconds) if seconds is not None and seconds >= 0 else ""


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(inner)}" for name, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(inner) for inner in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return words.digits(value)
    return "" if value is None else str(value)
