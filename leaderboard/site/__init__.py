"""The board as a static site: pages that need no network, and no JavaScript to be read."""
