"""Fences of the documentation site, for mkdocs.yml: ``math``, LaTeX as MathML, and ``help``, a command's help text."""

from __future__ import annotations

import html
from typing import Any

from click.testing import CliRunner
from latex2mathml.converter import convert

from lagbench.cli.main import cli

WIDTH = 78


def math(source: str, *_: Any, **__: Any) -> str:
    """Convert LaTeX formulas, one per line, to MathML, which browsers render without a script."""
    formulas = (convert(line, display="block") for line in source.splitlines() if line.strip())
    return f'<div class="math">{"".join(formulas)}</div>'


def command_help(source: str, *_: Any, **__: Any) -> str:
    """The output of ``lagbench COMMAND --help``."""
    name, *command = source.split()
    done = CliRunner().invoke(cli, [*command, "--help"], prog_name=name, terminal_width=WIDTH, catch_exceptions=False)
    if done.exit_code:
        raise ValueError(f"{source.strip()}: {done.output}")
    return f"<pre><code>{html.escape(done.output)}</code></pre>"
