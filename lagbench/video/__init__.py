"""Recorded episodes as films: ``film`` of ``lagbench.video.film``; what draws runs in a process of its own."""
