"""Sheets as LaTeX: tables for ``booktabs``."""

from __future__ import annotations

from collections.abc import Iterable

from lagbench.scoring.sheets import Sheet

_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{c: rf"\{c}" for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "≥": r"$\geq$",
    "−": "$-$",
    "–": "--",
    "×": r"$\times$",
}


def latex(sheets: Iterable[Sheet]) -> str:
    """One ``table`` per sheet, with its notes in the caption."""
    return "\n".join(["% \\usepackage{booktabs}", *map(_table, sheets)])


def _table(sheet: Sheet) -> str:
    lines = [
        r"\begin{table}",
        rf"\caption{{{escaped(sheet.title)}. {' '.join(escaped(_sentence(note)) for note in sheet.notes)}}}",
        r"\centering",
        rf"\begin{{tabular}}{{{'l' * len(sheet.columns)}}}",
        r"\toprule",
        _row(sheet.columns),
        r"\midrule",
        *map(_row, sheet.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"


def _sentence(note: str) -> str:
    return note if note.endswith(".") else f"{note}."


def escaped(text: str) -> str:
    """Escape text for LaTeX."""
    return "".join(_SPECIAL.get(c, c) for c in text)
