"""Carrying a run out: the plan, the trials, the journal, the guardrails."""
