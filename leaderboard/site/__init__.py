"""The boards as a static site that needs no network and is readable without JavaScript."""

from lagbench import records

SITE = records.directory.Kind("site", "site.json")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)
"""The Content-Security-Policy of all pages."""
