"""Policies: networks, their normalizers and their versions."""
