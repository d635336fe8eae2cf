"""Reference algorithms, each in one file that reads top to bottom."""
