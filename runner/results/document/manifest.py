"""A manifest as it was applied."""

from __future__ import annotations

from runner.results.document import Record


class ManifestRecord(Record):
    """One manifest as it was applied."""

    name: str
    """As the experiment file names it; `inline` for one written there."""
    file: str
    """The copy under `manifests/` in the run folder, byte for byte."""
    resources: list[str]
    """`Kind namespace/name` of each."""
