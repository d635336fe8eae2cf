"""Actors and learner that run apart, on Ray: how data and policy versions go between them."""
