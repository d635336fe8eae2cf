"""Tasks, described in the same way for every domain."""
