"""Waiting until no connection is left that proxies still serve by the rules of before a change.

A new listener, or a filter chain that is replaced within one, is in force for new connections at once. A connection that was open keeps
the filters that it was accepted with: its next request is answered by the earlier rules (with `Connection: close`, or GOAWAY), and only
after the drain time Envoy closes what is left. Sidecars keep connections to each other open between trials, so the first requests of a
trial could meet the rules of the one before. Nothing closes them earlier that would not disturb what is measured: so it is waited for.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.errors import MeshError
from runner.mesh.cluster.looks import read_mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from runner.mesh.cluster.admin import Fleet, ProxyAdmin
    from runner.mesh.cluster.looks import Look, Mark

LONGEST = 120.0
"""Seconds: a longer drain time than this is refused rather than waited for."""

_POLL = 0.5
_SLACK = 10.0
"""Seconds by which a busy Envoy's timer may be late."""

_QUICK = 5.0
"""Seconds that are not worth a word."""

LISTENER_KINDS = frozenset(
    {
        *("AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"),
        *("Telemetry", "WasmPlugin", "EnvoyFilter", "Sidecar"),
    }
)
"""Kinds whose change replaces listeners of sidecars, or filter chains of them."""

ADVICE = "Shorten it: the annotation proxy.istio.io/config with drainDuration: 5s in the pods' template, or meshConfig.defaultConfig"


@dataclass(slots=True)
class Drains:
    """Which proxies may still have connections of before a change.

    Attributes:
        fleet: the proxies.
        living: those whose pods are there.
    """

    fleet: Fleet
    living: Callable[[], set[str]]
    _since: dict[str, float] = field(default_factory=dict)
    _limits: dict[str, float] = field(default_factory=dict)

    def note(self, before: Mapping[str, Look], now: Mapping[str, Look]) -> None:
        """Take note of proxies whose listeners were replaced or removed between two looks.

        Of a proxy that was never looked at before, somebody who ran before may have replaced some.
        """
        when = time.monotonic()
        for name, look in now.items():
            earlier = before.get(name)
            if look.mark is None:
                replaced = earlier is None or earlier.dump.listeners != look.dump.listeners
            elif earlier is None or earlier.mark is None:
                replaced = look.mark.draining > 0
            else:
                replaced = earlier.mark.replaced != look.mark.replaced
            if replaced:
                self._since[name] = when

    def cost(self, kinds: Iterable[str]) -> list[str]:
        """A warning where changes of `kinds` will have to be waited for."""
        named = sorted(LISTENER_KINDS.intersection(kinds))
        if not named:
            return []
        self._ask_limits(self.fleet.clients)
        longest = max(self._limits.values(), default=0.0)
        if longest <= _QUICK:
            return []
        said = (
            f"after a change of {' and '.join(named)}, connections that were open before are served by the earlier rules for up to "
            f"{longest:.0f} s (the proxies' drainDuration), and every trial waits for their end. {ADVICE}"
        )
        return [said]

    def _ask_limits(self, names: Iterable[str]) -> None:
        unknown = sorted(set(names) - self._limits.keys())
        if unknown:
            self._limits.update(self.fleet.each(_drain_time, unknown))

    def settle(self) -> None:
        """Return once all these connections are gone.

        A proxy has none where nothing drains, where it had no connection at all after the change, or when its drain time is over: a
        busy cluster may always have something else that drains.

        Raises:
            MeshError: a proxy drains for longer than its drain time, does not answer, or would take too long.
        """
        if not self._since:
            return
        self._ask_limits(self._since)
        first: dict[str, Mark] = {}
        while True:
            marks = self.fleet.each(read_mark, sorted(self._since))
            silent = self._since.keys() - marks.keys()
            if silent:
                self._forget(silent - self.living())
            for name, mark in marks.items():
                if mark is not None and _is_over(mark, first.setdefault(name, mark)):
                    self._forget([name])
            self._forget([name for name in self._since if self._is_late(name, marks, first)])
            if not self._since:
                return
            time.sleep(_POLL)

    def _is_late(self, name: str, marks: Mapping[str, Mark | None], first: Mapping[str, Mark]) -> bool:
        """Whether the drain time of what was replaced has passed.

        Raises:
            MeshError: it has passed, and nothing has ended; or it would take too long.
        """
        limit = self._limits.get(name, LONGEST)
        if limit > LONGEST:
            raise MeshError(
                f"{name}: connections that are open when listeners change are served by the earlier rules for up to {limit:.0f} s",
                advice=ADVICE,
            )
        if time.monotonic() < self._since[name] + limit + _SLACK:
            return False
        mark = marks.get(name)
        if name not in marks:
            raise MeshError(
                f"{name}: no answer ({self.fleet.silent.get(name, '')}), so it may still serve by earlier rules"
            )
        if mark is not None and name in first and mark.replaced == first[name].replaced:
            raise MeshError(
                f"{name}: {mark.draining} listeners or filter chains of before the change still drain after {limit + _SLACK:.0f} s, "
                f"and its drain time is {limit:.0f} s",
                advice="Open connections may still be served by the earlier rules. Its log may say why",
            )
        return True

    def _forget(self, names: Iterable[str]) -> None:
        for name in list(names):
            self._since.pop(name, None)


def _is_over(mark: Mark, first: Mark) -> bool:
    """Whether a proxy has no connection of before: nothing drains, or it counted its connections since, and had none."""
    return not mark.draining or (mark.uptime != first.uptime and not mark.connections)


def _drain_time(client: ProxyAdmin) -> float:
    """Seconds after which a proxy closes connections of listeners that were replaced (`--drain-time-s`; Istio's `drainDuration`).

    Raises:
        MeshError: it does not say.
    """
    try:
        text = str(json.loads(client.get("/server_info"))["command_line_options"]["drain_time"])
        return float(text.removesuffix("s"))
    except (ValueError, KeyError, TypeError) as error:
        raise MeshError(f"{client.pod.name}: its drain time can't be read: {error}") from None
