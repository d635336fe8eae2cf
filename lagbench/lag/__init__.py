"""Backward lag, simulated: which policy versions there are, and which actor holds which."""
