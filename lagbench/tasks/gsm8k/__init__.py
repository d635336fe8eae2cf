"""Grade-school maths in one turn: a question is asked, a completion answers it, and a grader pays 1 or 0."""
