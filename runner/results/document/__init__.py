"""`run.json`: the versioned document that a run leaves, read by the report, `compare` and other people's programs.

Latencies in milliseconds, shares from 0 to 1, times RFC 3339 UTC. Fields are only ever added within a version.
`run` has the whole; the others are its parts.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Base of all records: written by alias, unknown keys of newer versions kept out of the way."""

    model_config = ConfigDict(populate_by_name=True, extra="ignore", serialize_by_alias=True)
