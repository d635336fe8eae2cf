"""Submissions, what they are held to, and the board. Imports only lagbench's public names."""
