"""Showing a run folder to a person: one HTML file, a terminal summary."""
