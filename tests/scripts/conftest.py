"""A directory of the test's own."""

from tests.cli.conftest import here as here
