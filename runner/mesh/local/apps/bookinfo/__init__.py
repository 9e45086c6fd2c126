"""A twin of the Bookinfo sample: its services, endpoints, timeouts, retry and texts, so that the guide's tasks work."""
