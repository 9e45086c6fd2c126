"""What was applied, and what differs between the variants: by resource, since a later file replaces a whole one."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from runner.errors import InputError
from runner.istio.resource import DEFAULT_NAMESPACE
from runner.yamlfile.documents import parse_documents

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.report.limits import Limits
    from runner.results.document.run import RunDocument
    from runner.results.document.variant import VariantRecord

_DOCUMENT_MARK = re.compile(r"^---[^\n]*\n?", re.MULTILINE)
_CONTEXT = 8


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line; `sign` is `+`, `-`, `@` (a jump) or a space."""

    sign: Literal["+", "-", "@", " "]
    text: str


@dataclass(frozen=True, slots=True)
class ResourceDiff:
    """One resource that differs.

    Attributes:
        name: `VirtualService default/reviews`.
        what: added, removed or changed.
        files: where both sides come from, in words.
        lines: the diff.
    """

    name: str
    what: Literal["added", "removed", "changed"]
    files: str
    lines: list[DiffLine]


@dataclass(frozen=True, slots=True)
class VariantDiff:
    """One variant against the baseline."""

    variant: str
    baseline: str
    series: int
    diffs: list[ResourceDiff]
    same: list[str]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """One manifest, as text."""

    name: str
    resources: str
    text: str


@dataclass(frozen=True, slots=True)
class VariantManifests:
    """Everything that a variant applied, in order."""

    variant: str
    series: int
    manifests: list[Applied]


@dataclass(slots=True)
class _State:
    """What a variant holds in the end: by resource its text and the file that it comes from."""

    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


class _Budget:
    """Lines that may still be shown."""

    def __init__(self, lines: int, length: int) -> None:
        self.left = lines
        self.length = length

    def take(self, lines: Sequence[str]) -> list[str]:
        """As many of the lines as there is room for, each cut to its longest."""
        taken = [line if len(line) <= self.length else line[: self.length] + "…" for line in lines[: self.left]]
        self.left -= len(taken)
        return taken


def diffs(document: RunDocument, texts: Mapping[str, str], limits: Limits) -> list[VariantDiff]:
    """Each variant against the baseline; nothing when there is but one variant."""
    baseline = next((variant for variant in document.variants if variant.baseline), None)
    if baseline is None:
        return []
    parsed: dict[str, dict[str, str]] = {}
    before = _state(baseline, texts, parsed)
    budget = _Budget(limits.diff_lines, limits.line_length)
    return [
        _variant_diff(variant, place, baseline.name, before, _state(variant, texts, parsed), budget)
        for place, variant in enumerate(document.variants)
        if variant is not baseline
    ]


def applied(document: RunDocument, texts: Mapping[str, str], limits: Limits) -> list[VariantManifests]:
    """What each variant applied, byte for byte as far as there is room."""
    budget = _Budget(limits.diff_lines, limits.line_length)
    found = []
    shown: dict[tuple[str, str], str] = {}
    for place, variant in enumerate(document.variants):
        manifests = []
        switched = variant.phases.manifests if variant.phases else []
        for manifest in (*variant.manifests, *switched):
            text = texts.get(manifest.file)
            if text is None:
                body = "# the copy is missing from the run folder"
            elif (manifest.name, text) in shown:
                body = f"# the same file as under {shown[manifest.name, text]}, above"
            else:
                body = _cut(text, budget)
                shown[manifest.name, text] = variant.name
            name = f"{manifest.name} (switched on under load)" if manifest in switched else manifest.name
            manifests.append(Applied(name, ", ".join(manifest.resources), body))
        found.append(VariantManifests(variant.name, place, manifests))
    return found


def _cut(text: str, budget: _Budget) -> str:
    lines = text.splitlines()
    taken = budget.take(lines)
    if len(taken) < len(lines):
        taken.append(f"# … {len(lines) - len(taken)} more lines in the run folder")
    return "\n".join(taken)


def _state(variant: VariantRecord, texts: Mapping[str, str], parsed: dict[str, dict[str, str]]) -> _State:
    """The variant's resources; `parsed` keeps those of each file, since variants share most files."""
    state = _State()
    for manifest in variant.manifests:
        if manifest.file not in parsed:
            parsed[manifest.file] = resources(texts.get(manifest.file, ""), manifest.name)
        for name, text in parsed[manifest.file].items():
            state.texts[name] = text
            state.files[name] = manifest.name
    return state


def resources(text: str, file: str) -> dict[str, str]:
    """The resources of a manifest, each with its lines as written; what is no YAML counts as one, named by its file."""
    found: dict[str, str] = {}
    for part in _DOCUMENT_MARK.split(text):
        if not part.strip():
            continue
        try:
            documents = parse_documents(part, file)
        except InputError:
            return {file: text}
        for document in documents:
            found[_resource_name(document.data, file)] = part.strip("\n")
    return found


def _resource_name(data: object, file: str) -> str:
    if not isinstance(data, dict):
        return file
    metadata = data.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    return f"{data.get('kind', 'resource')} {metadata.get('namespace', DEFAULT_NAMESPACE)}/{metadata.get('name', '')}"


def _variant_diff(
    variant: VariantRecord, place: int, baseline: str, before: _State, after: _State, budget: _Budget
) -> VariantDiff:
    found: list[ResourceDiff] = []
    same: list[str] = []
    note = ""
    for name in sorted({*before.texts, *after.texts}):
        old, new = before.texts.get(name), after.texts.get(name)
        if old == new:
            same.append(name)
            continue
        lines = _diff_lines(old or "", new or "")
        taken = budget.take([line.sign + line.text for line in lines])
        if len(taken) < len(lines):
            note = "Some lines were left out to keep this page small; the run folder has them all."
        what: Literal["added", "removed", "changed"] = (
            "added" if old is None else "removed" if new is None else "changed"
        )
        shown = [DiffLine(line.sign, text[1:]) for line, text in zip(lines, taken, strict=False)]
        found.append(ResourceDiff(name, what, _files(before.files.get(name), after.files.get(name)), shown))
    return VariantDiff(variant.name, baseline, place, found, same, note)


def _files(old: str | None, new: str | None) -> str:
    if old is None or new is None or old == new:
        return new or old or ""
    return f"{old} → {new}"


def _diff_lines(old: str, new: str) -> list[DiffLine]:
    unified = list(difflib.unified_diff(old.splitlines(), new.splitlines(), n=_CONTEXT, lineterm=""))[2:]
    lines = [DiffLine("@", line) if line.startswith("@@") else DiffLine(_sign(line), line[1:]) for line in unified]
    return lines[1:] if sum(line.sign == "@" for line in lines) == 1 else lines


def _sign(line: str) -> Literal["+", "-", " "]:
    return "+" if line.startswith("+") else "-" if line.startswith("-") else " "
