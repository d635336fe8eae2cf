"""Acting: policy versions in, rollouts and episodes out."""
