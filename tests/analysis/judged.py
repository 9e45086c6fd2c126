"""Windows judged, for the tests of every rule that a trial must keep."""

from __future__ import annotations

import numpy as np

from runner.analysis.validity import judge
from runner.analysis.validity_types import ValidityInput


def codes(window, **more):
    """Why a trial of that window does not count."""
    return judge(ValidityInput(window, **more)).codes


def steady(n=600, level=100.0, seed=3):
    """Responses in ms that scatter about one level."""
    return list(level * np.exp(0.05 * np.random.default_rng(seed).standard_normal(n)))
