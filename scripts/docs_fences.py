"""Fences of the documentation site, named in mkdocs.yml: ``math``, LaTeX set as MathML, and ``help``, of a command."""

from __future__ import annotations

import html
from typing import Any

from click.testing import CliRunner
from latex2mathml.converter import convert

from lagbench.cli.main import cli

WIDTH = 78


def math(source: str, *_: Any, **__: Any) -> str:
    """Formulas in LaTeX, one a line; browsers set MathML without a script."""
    formulas = (convert(line, display="block") for line in source.splitlines() if line.strip())
    return f'<div class="math">{"".join(formulas)}</div>'


def command_help(source: str, *_: Any, **__: Any) -> str:
    """What ``lagbench COMMAND --help`` prints."""
    name, *command = source.split()
    done = CliRunner().invoke(cli, [*command, "--help"], prog_name=name, terminal_width=WIDTH, catch_exceptions=False)
    if done.exit_code:
        raise ValueError(f"{source.strip()}: {done.output}")
    return f"<pre><code>{html.escape(done.output)}</code></pre>"
