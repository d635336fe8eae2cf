"""Simulated backward lag: the buffer of policy versions, and their assignment to actors."""
