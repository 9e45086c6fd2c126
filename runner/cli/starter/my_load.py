"""An ordinary locustfile: it runs in plain Locust as well."""

from locust import FastHttpUser, task


class Visitor(FastHttpUser):
    """Someone who looks at the product page."""

    @task
    def productpage(self) -> None:
        """Open the page."""
        self.client.get("/productpage")
