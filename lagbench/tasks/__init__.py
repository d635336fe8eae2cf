"""Tasks: what is stepped or answered, behind one description for both domains."""
