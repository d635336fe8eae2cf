"""Videos of recorded episodes: ``film`` in ``lagbench.video.film``; rendering runs in a separate process."""
