"""The experiment file: what the user may write, where each value stands, what it expands into."""
