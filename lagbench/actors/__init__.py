"""Actors: collect rollouts and episodes with given policy versions."""
