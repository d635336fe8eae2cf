"""What pages may do, as a Content-Security-Policy."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)
"""Nothing from anywhere else, and no script or style that stands in a page."""
