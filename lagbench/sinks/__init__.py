"""Sinks: displays and logs of a run, which do not influence it."""
