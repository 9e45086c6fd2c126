"""The load of every case, for Meshtrial and for plain Locust under Taurus: one page, which must show a certain text.

What differs between cases comes from the environment; see `bench/wrong_passes_cases.py`.
"""

import os
import random

from locust import FastHttpUser, constant_throughput, task

PATH, TEXT, NAME = os.environ["CASE_PATH"], os.environ["CASE_TEXT"], os.environ["CASE_NAME"]
SILENT, BURN = float(os.environ["CASE_SILENT"]), int(os.environ["CASE_BURN"])


class Visitor(FastHttpUser):
    """Somebody who reads the page. The pace is for plain Locust; Meshtrial's arrivals have a schedule of their own."""

    network_timeout = connection_timeout = 1.2
    wait_time = constant_throughput(float(os.environ["CASE_PACE"]))

    @task
    def read_page(self):
        """Ask for the page; one without the text is a failure."""
        if random.random() < SILENT:  # noqa: S311 - which tasks are cut short, not a secret
            return
        for _ in range(BURN):
            pass
        with self.client.get(PATH, name=NAME, catch_response=True) as response:
            if response.status_code == 200 and TEXT not in (response.text or ""):
                response.failure(f"the page does not show {TEXT!r}")
