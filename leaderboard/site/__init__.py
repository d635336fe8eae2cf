"""The board as a static site: pages that need no network, and no JavaScript to be read."""

from lagbench import records

SITE = records.directory.Kind("site", "site.json")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)
"""What a page may load and do, for browsers to enforce."""
