"""Sweeps: a grid of cells, run by any number of processes and machines that share its directory."""
