"""Phases and the rest of an experiment: a load that goes with them, lengths that can be measured, options that change them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runner.errors import Problem
from runner.spec.metrics import PHASES
from runner.spec.phases import Phases
from runner.spec.validation import read_part
from runner.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.spec.load_profile import Load
    from runner.spec.model import Experiment
    from runner.spec.overrides import Overrides
    from runner.spec.templates import Findings
    from runner.yamlfile.documents import Document

SHORTEST = 4.0
"""Seconds that a phase takes at least: one for the switch, and three in a row that show a recovery."""
SAYS_LITTLE = 10.0
"""A phase shorter than this is warned of: drift and quantiles can't be judged in it."""
_EDGE = 1e-9


def read_phases(data: Any, document: Document, findings: Findings) -> Phases | None:
    """The phases of a variant's document; None when it has none, or none that can be read (a finding then)."""
    return None if data is None else read_part(Phases, data, document, ("phases",), findings)


def fitted(
    load: Load, phases: Phases | None, document: Document, overrides: Overrides, findings: Findings
) -> tuple[Load, Phases | None]:
    """A variant's load and phases with the command line's options applied, the load as long as the phases.

    Args:
        load: as written.
        phases: as written.
        document: of the variant, for places.
        overrides: the options.
        findings: where problems go.
    """
    fit = overrides.load_for(load, findings)
    if phases is None:
        return fit, None
    for loc, problem in _unfit(load, phases):
        findings.add(replace(problem, where=document.position(("load", *loc), key=True)))
    lasting = overrides.phases_for(phases)
    for name, problem in _too_short(lasting):
        if overrides.duration is not None:
            findings.add(replace(problem, message=f"--duration {overrides.duration}: {problem.message}"))
        else:
            findings.add(replace(problem, where=document.position(("phases", name))))
    fit.duration = lasting.seconds
    return fit, lasting


def short_phases(experiment: Experiment, documents: Mapping[str, Document]) -> list[str]:
    """Warnings of phases in which little can be judged; none under `--quick`, which is known to be rough.

    Args:
        experiment: expanded, options applied.
        documents: by variant, for places.
    """
    warnings = []
    for name, variant in experiment.variants.items():
        phases = variant.phases
        short = [] if phases is None else [key for key in PHASES if getattr(phases, key) < SAYS_LITTLE - _EDGE]
        if short and not experiment.quick:
            where = documents[name].position(("phases",), key=True)
            warnings.append(
                f"{where}: {' and '.join(short)} {'is' if len(short) == 1 else 'are'} shorter than "
                f"{format_duration(SAYS_LITTLE)}: drift can't be judged, and quantiles rest on few requests"
            )
    return list(dict.fromkeys(warnings))


def _unfit(load: Load, phases: Phases) -> Iterator[tuple[tuple[str, ...], Problem]]:
    """What of a load can't be had together with phases: the way to it in the load, and the problem without its place."""
    if load.arrivals is not None and load.arrivals.stages is not None:
        yield (
            ("arrivals", "stages"),
            Problem(
                "phases are compared with each other, so the rate must not change between them",
                expected="arrivals: {rate: ...} beside phases",
            ),
        )
    elif load.exact:
        yield (
            ("fortio", "requests"),
            Problem(
                "phases take time, and an exact number of requests takes as long as it takes",
                expected="no fortio.requests beside phases",
            ),
        )
    elif "duration" in load.model_fields_set and abs(load.duration - phases.seconds) > _EDGE:
        yield (
            ("duration",),
            Problem(
                f"duration is {format_duration(load.duration)}, and the phases take {format_duration(phases.seconds)}",
                expected="no duration beside phases: it is their sum",
            ),
        )
    if load.fortio is not None and not load.fortio.access_log:
        yield (
            ("fortio", "access_log"),
            Problem(
                "without its access log fortio gives no time series, so phases can't be told apart",
                expected="access_log: true beside phases",
            ),
        )


def _too_short(phases: Phases) -> Iterator[tuple[str, Problem]]:
    """The phases that are too short to be measured: the key, and the problem without its place."""
    for name in PHASES:
        seconds: float = getattr(phases, name)
        if seconds < SHORTEST - _EDGE:
            yield (
                name,
                Problem(
                    f"a phase of {format_duration(seconds)} is too short: one second is lost to the switch, "
                    "and a recovery takes three in a row to show",
                    expected=f"{format_duration(SHORTEST)} or more",
                ),
            )
