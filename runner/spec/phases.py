"""Phases: a change of the mesh (a fault, as a rule) that is switched on and off while load runs, and what it is asked under.

The measured window is one; its parts are told apart by when the switches were made and confirmed.
"""

from __future__ import annotations

from pydantic import Field

from runner.spec.fields import ManifestEntry, PositiveDuration, SpecModel, Text
from runner.spec.metrics import PHASES


class Phases(SpecModel):
    """A change that is switched on after `before`, and off again after `during`, in one window of load."""

    apply: list[ManifestEntry] = Field(
        min_length=1,
        description="Manifests that are switched on, laid over the variant's state: files or resources.",
    )
    before: PositiveDuration = 10.0
    during: PositiveDuration = 10.0
    after: PositiveDuration = 10.0
    objective: Text | None = Field(
        default=None,
        description='What a good second keeps, such as "p95 < 500ms and error_rate < 1%": '
        "time_to_detect and time_to_recover are measured against it.",
    )

    @property
    def seconds(self) -> float:
        """The whole measured window."""
        return self.before + self.during + self.after

    def lasting(self, seconds: float) -> Phases:
        """The same phases, `seconds` altogether, their shape kept."""
        scale = seconds / self.seconds
        return self.model_copy(update={name: getattr(self, name) * scale for name in PHASES})

    def each(self, seconds: float) -> Phases:
        """The same phases, every one `seconds` long."""
        return self.model_copy(update=dict.fromkeys(PHASES, seconds))
