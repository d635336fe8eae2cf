"""A run that several tests look at."""

from tests.cli.conftest import finished as finished
