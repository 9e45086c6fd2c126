"""What the example's users do: look at a product's page."""

from locust import HttpUser, task


class Reader(HttpUser):
    """Looks at the page, as most visitors do."""

    @task
    def page(self) -> None:
        """The product page, which needs details and reviews, and through these ratings."""
        self.client.get("/productpage", name="product page")
