"""What is asked of a submission, one module a part of it; each check yields what it finds wrong."""
