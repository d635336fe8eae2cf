"""Leaderboard: submissions, their validation and reruns, and the board. Imports only lagbench's public names."""
