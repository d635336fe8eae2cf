"""Reference algorithms, each in one self-contained file."""
