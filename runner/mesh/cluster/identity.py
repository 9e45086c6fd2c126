"""What makes a namespace of a cluster the same one again, for the journal: its server, its name, and the context that led there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """A namespace of a cluster."""

    server: str
    namespace: str
    context: str

    def __str__(self) -> str:
        return f"{self.server} {self.namespace} {self.context}"

    @classmethod
    def parse(cls, text: str) -> Identity:
        """Of the text of one.

        Raises:
            ValueError: it is none.
        """
        server, namespace, context = text.split(" ", 2)
        return cls(server, namespace, context)
