"""A loadfile for closed-loop experiments: each user asks for the product page again at once, as `fortio load -qps 0` does."""

from __future__ import annotations

from locust import FastHttpUser, constant, task


class Caller(FastHttpUser):
    """A program that calls without a pause."""

    wait_time = constant(0)

    @task
    def call(self) -> None:
        """One request."""
        self.client.get("/productpage")
