"""Asynchronous actors and learner on Ray, and the exchange of data and policy versions between them."""
