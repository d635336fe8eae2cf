"""What chooses actions: networks, the normalizer that belongs to them, and their versions."""
