"""The first of the two files that Locust is started with: hooks the agent in before the user's file is loaded."""

import sys
from pathlib import Path

_HOUSE = str(Path(__file__).resolve().parent.parent.parent)
if _HOUSE not in sys.path:
    sys.path.append(_HOUSE)

from runner.load.child import agent  # noqa: E402 - the package may not be installed where Locust runs

agent.install()
