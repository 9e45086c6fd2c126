"""Load generation: the drivers, and the plugin that makes Locust keep a schedule and tell the whole distribution."""
