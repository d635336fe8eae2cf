"""Write the tables of results into the documentation, from the tables of runs in results/.

    python -m scripts.tables

In a document, each is between the comments ``<!-- table: NAME -->`` and ``<!-- end of table -->``. Tests check that
they are current.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from scripts.results import RESULTS, ROOT, read
from scripts.search import CONTROL, Search
from scripts.search_language import LANGUAGE

BLOCK = re.compile(r"^(<!-- table: ([\w-]+) -->\n\n)(.*?)(\n\n<!-- end of table -->)$", flags=re.MULTILINE | re.DOTALL)


def searched(name: str, search: Search) -> Sequence[str]:
    """The table of a search, so far as it has come."""
    return search.table(read(RESULTS / f"{name}.arrow"), [*search.configs])


TABLES: Mapping[str, Callable[[], Sequence[str]]] = {
    name: functools.partial(searched, name, search)
    for name, search in (("search-v1", CONTROL), ("search-language-v1", LANGUAGE))
}
"""Functions that return a table's lines in Markdown, by the table's name."""


def documents() -> list[Path]:
    """The documents that may have tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def written(text: str) -> str:
    """Return a document with its tables updated."""
    return BLOCK.sub(lambda block: block[1] + "\n".join(TABLES[block[2]]()) + block[4], text)


@click.command()
def main() -> None:
    """Write all tables of all documents."""
    for document in documents():
        before = document.read_text(encoding="utf-8")
        after = written(before)
        if after != before:
            document.write_text(after, encoding="utf-8")
            click.echo(str(document.relative_to(ROOT)))


if __name__ == "__main__":
    main()
