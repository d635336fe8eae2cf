"""An algorithm's source: its files, loading, and its representation in specifications."""
