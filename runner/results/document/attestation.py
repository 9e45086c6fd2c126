"""Which config was in force while load ran, and that its faults fired."""

from __future__ import annotations

from pydantic import Field

from runner.results.document import Record


class ProxyVersions(Record):
    """The config version that a proxy held at the window's two edges."""

    start: str
    end: str


class Attestation(Record):
    """Proof of which config was in force, and that its faults fired."""

    proxies: dict[str, ProxyVersions] = Field(default_factory=dict)
    faults: dict[str, int] = Field(default_factory=dict)
    """By `<workload> <full stat name>`: how many faults were injected in the window."""
