"""From runs to scores: how well an algorithm does as lag grows, and how sure we are (SCIENCE §6)."""
