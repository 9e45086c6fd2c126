"""From what was measured to what may be said: pure functions, no I/O."""
