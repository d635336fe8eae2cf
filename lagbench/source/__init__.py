"""An algorithm's source: what belongs to it, how it is loaded, and what a specification says of it."""
