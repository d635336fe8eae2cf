"""How large anything in a submission may be. What exceeds a limit is refused before it is read or decompressed."""

from __future__ import annotations

MEBIBYTE = 1 << 20

FILE_BYTES = 16 * MEBIBYTE
"""Of any file."""
TOTAL_BYTES = 128 * MEBIBYTE
"""Of a submission."""
MANIFEST_BYTES = 4 * MEBIBYTE
"""Of submission.json."""
JSON_BYTES = 1 * MEBIBYTE
"""Of any other JSON file."""
SOURCE_BYTES = 1 * MEBIBYTE
"""Of algorithm.txt."""
FILES = 10_000
"""Files and directories of a submission."""
PATH_LENGTH = 200
"""Characters of a file's path, as from the submission's directory."""
JSON_DEPTH = 16
"""Lists and objects inside one another."""
ROWS = 1_000_000
"""Of a table."""
BATCHES = 10_000
"""Of a table."""
TABLE_BYTES = 64 * MEBIBYTE
"""Of a table, uncompressed."""
NAME_LENGTH = 60
"""Characters of a submission's name, an author's or a key's."""
AUTHORS = 50
URL_LENGTH = 300
LICENSE_LENGTH = 60
STATEMENT_LENGTH = 4_000
"""Characters of each part of the statement."""
CONFIG_ENTRIES = 100
TEXT_LENGTH = 1_000
"""Characters of any other text."""
METRICS = 100
"""Metrics of a phase."""
ENTRIES = 1_000
"""Of environment.json, one each time that a run was started or resumed."""
NUMBER = 1e100
"""Of what is returned or measured, either way: of larger ones sums and squares are no numbers."""
PROBLEMS = 1_000
"""Listed for a check; more are counted."""
