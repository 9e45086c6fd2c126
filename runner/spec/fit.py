"""Which values fit which metric: units of absolute checks, changes of comparisons, margins of `within`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.spec.metrics import Dimension, Metric, Quantity, Unit

if TYPE_CHECKING:
    from runner.spec.metric_reading import Reader

_ABSOLUTE = {
    Dimension.LATENCY: ({Unit.MILLISECONDS}, "a duration such as 2s or 500ms"),
    Dimension.DURATION: ({Unit.MILLISECONDS}, "a duration such as 5s"),
    Dimension.SHARE: ({Unit.SHARE}, "a share such as 1%"),
    Dimension.RATE: ({Unit.RATE}, "a rate such as 20/s"),
    Dimension.COUNT: ({Unit.COUNT}, "a number such as 0"),
    Dimension.UNKNOWN: ({Unit.COUNT, Unit.SHARE}, "a number or a share, as PromQL's results have no unit"),
}


def values_for(metric: Metric) -> str:
    """What an absolute check of a metric may hold it against, in words."""
    return "a number or a share such as 95%" if metric.name in {"status", "outcome"} else _ABSOLUTE[metric.dimension][1]


def changes_for(metric: Metric) -> str:
    """What a comparison of a metric may hold it against, in words."""
    return f"a change such as +10% or -40%, or a metric of the other variant ({metric})"


def margins_for(metric: Metric) -> str:
    """What `within` takes for a metric, in words."""
    return "a margin such as 5% or 20ms" if metric.is_latency else "a margin such as 5%"


def fit_value(reader: Reader, metric: Metric, quantity: Quantity, at: int, expected: str) -> None:
    """An absolute check: the unit must be the metric's own."""
    units, _ = _ABSOLUTE[metric.dimension]
    if metric.name in {"status", "outcome"}:
        units = {Unit.COUNT, Unit.SHARE}
    if quantity.signed and not (metric.dimension is Dimension.UNKNOWN and quantity.value < 0):
        hint = 'A change belongs under "VARIANT vs BASELINE"' if quantity.unit is Unit.SHARE else None
        raise reader.error(f"{quantity.text} has a sign", at, expected=expected, suggestion=hint)
    if quantity.unit not in units:
        if quantity.unit is Unit.COUNT:
            raise reader.error(
                f"{quantity.text} needs a unit", at, expected=expected, suggestion=_with_unit(metric, quantity)
            )
        hint = (
            'For a share of requests use "error_rate"'
            if metric.name == "errors" and quantity.unit is Unit.SHARE
            else None
        )
        raise reader.error(f"{quantity.text} does not fit {metric}", at, expected=expected, suggestion=hint)
    if quantity.unit is Unit.SHARE and quantity.value > 1 and metric.dimension is not Dimension.UNKNOWN:
        raise reader.error(f"{quantity.text} is more than 100%", at, expected=expected)


def _with_unit(metric: Metric, quantity: Quantity) -> str:
    if metric.is_latency or metric.is_time_to:
        return f'Write "{quantity.text}ms" or "{quantity.text}s"'
    if metric.dimension is Dimension.RATE:
        return f'Did you mean "{quantity.text}/s"?'
    share = quantity.value * 100 if quantity.value <= 1 else quantity.value
    return f'Did you mean "{share:g}%"?'


def fit_change(reader: Reader, metric: Metric, quantity: Quantity, at: int, expected: str) -> None:
    """A comparison: a percentage, signed or plain."""
    if quantity.unit is not Unit.SHARE:
        raise reader.error(f"{quantity.text} is no change, and a comparison needs one", at, expected=expected)
    if quantity.value < -1 or (metric.dimension is Dimension.SHARE and quantity.value > 1):
        raise reader.error(f"{quantity.text} is more than all of it", at, expected=expected)


def fit_margin(reader: Reader, metric: Metric, quantity: Quantity, at: int, expected: str) -> None:
    """A comparison by `within`: a percentage, for a latency a duration too, without a sign, more than zero."""
    if quantity.unit is not Unit.SHARE and not (metric.is_latency and quantity.unit is Unit.MILLISECONDS):
        raise reader.error(f"{quantity.text} is no margin", at, expected=expected)
    if quantity.signed:
        raise reader.error(
            "a margin has no sign", at, expected=expected, suggestion=f'Did you mean "{quantity.text.lstrip("+- ")}"?'
        )
    if quantity.value <= 0:
        raise reader.error(
            "nothing can be shown to lie within a margin of zero",
            at,
            expected=expected,
            suggestion='For counts, use "=="',
        )
