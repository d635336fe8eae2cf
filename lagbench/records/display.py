"""Display of a run in a notebook: self-contained HTML with a curve."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 420, 180, 64, 24, 10, 10


def run_html(rows: Mapping[str, str], curve: Sequence[tuple[float, float]]) -> str:
    """A table of names and values, above the curve of (fraction of the budget, mean return)."""
    cells = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{html.escape(value)}</td></tr>'
        for name, value in rows.items()
    )
    points = [(x, y) for x, y in curve if math.isfinite(y)]
    return f"<table>{cells}</table>{_svg(points) if points else ''}"


def _svg(points: Sequence[tuple[float, float]]) -> str:
    low, high = min(y for _, y in points), max(y for _, y in points)
    span = high - low or 1.0
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return _LEFT + x * (right - _LEFT), bottom - (y - low) / span * (bottom - _TOP)

    placed = [place(x, y) for x, y in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="#1f77b4"/>' for x, y in placed)
    labels = "".join(
        f'<text x="{_LEFT - 6}" y="{place(0, y)[1] + 4:.1f}" text-anchor="end">{y:.4g}</text>'
        for y in dict.fromkeys((low, high))
    )
    middle = (_LEFT + right) / 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        'font-family="sans-serif" font-size="11" fill="currentColor" role="img" '
        'aria-label="mean return of the evaluations over the budget">'
        f'<path d="M{_LEFT},{_TOP} V{bottom} H{right}" fill="none" stroke="currentColor" stroke-width="0.75"/>'
        f'<polyline points="{line}" fill="none" stroke="#1f77b4" stroke-width="1.5"/>{dots}{labels}'
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}" text-anchor="middle">0</text>'
        f'<text x="{middle:.0f}" y="{_HEIGHT - 8}" text-anchor="middle">mean return, by share of the budget</text>'
        f'<text x="{right}" y="{_HEIGHT - 8}" text-anchor="end">1</text></svg>'
    )
