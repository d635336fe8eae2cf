"""The published results, and what is compared with them. Imports only lagbench's public names."""
