"""Tasks, described in the same way for both domains."""
