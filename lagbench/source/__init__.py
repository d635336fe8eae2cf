"""The source of algorithms, tasks and networks: its files, loading, and its representation in specifications."""
