"""Sinks: display and logs of a run, without influence on it."""
