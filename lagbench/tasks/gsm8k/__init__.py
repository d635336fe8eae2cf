"""Grade-school maths in one turn: the prompt is a question, the completion its answer, the reward 1 or 0."""
