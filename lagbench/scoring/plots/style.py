"""Fixed styles and labels of algorithms."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

LineStyle = Literal["solid"] | tuple[float, tuple[float, ...]]
_LONGEST = 60


@dataclass(frozen=True)
class Style:
    """Colour, marker and line.

    Each of them alone distinguishes the control baselines. Some language baselines have the colour of one that the
    language suites do not compare, with another marker and line.
    """

    colour: str
    marker: str
    line: LineStyle

    @property
    def size(self) -> float:
        """Size of the marker in points; thin ones are larger."""
        return {"*": 8.0, "X": 6.2, "P": 6.2}.get(self.marker, 4.8)


_LINES: Mapping[str, LineStyle] = {
    "solid": "solid",
    "dashed": (0, (5, 2)),
    "dotted": (0, (1, 1.4)),
    "dash-dot": (0, (6, 1.5, 1, 1.5)),
    "long": (0, (10, 2.5)),
    "dash-dot-dot": (0, (5, 1.5, 1, 1.5, 1, 1.5)),
    "short": (0, (2.6, 1.6)),
    "sparse": (0, (1, 3.6)),
}
BASELINES: Mapping[str, Style] = {
    # Okabe and Ito's colours without yellow, which is pale on white.
    "ppo": Style("#0072B2", "o", _LINES["solid"]),
    "vaco": Style("#D55E00", "D", _LINES["solid"]),
    "impala": Style("#009E73", "s", _LINES["dashed"]),
    "spo": Style("#CC79A7", "v", _LINES["dash-dot"]),
    "ppo-kl": Style("#56B4E9", "^", _LINES["dotted"]),
    "decoupled-ppo": Style("#E69F00", "P", _LINES["short"]),
    "geppo": Style("#882255", "X", _LINES["dash-dot-dot"]),
    # Two more colours that are distinct from these.
    "ppo-ewma": Style("#8844EE", "<", _LINES["long"]),
    "impact": Style("#88AA55", ">", _LINES["sparse"]),
    "grpo": Style("#009E73", "p", _LINES["solid"]),
    "tis": Style("#56B4E9", "h", _LINES["dashed"]),
    "cispo": Style("#CC79A7", "*", _LINES["solid"]),
    "gspo": Style("#882255", "d", _LINES["dash-dot"]),
    "m2po": Style("#8844EE", "8", _LINES["short"]),
    "dppo": Style("#88AA55", "s", _LINES["dotted"]),
    "topr": Style("#009E73", "^", _LINES["long"]),
}
# The user's algorithms are dark, unlike the baselines.
_OWN = ("#000000", "#5B3A1E", "#332288")
_MARKERS = ("*", "p", "h", "<", ">", "d", "8", "H", "o", "s", "D", "^", "v")


def styles(named: Sequence[tuple[str, str]]) -> dict[str, Style]:
    """Label → style, of (label, algorithm).

    Baselines have fixed styles. Another algorithm's style is derived from its name, that of an entry with swept
    hyperparameters from its label, in the colour of its algorithm. If two labels would look the same, the later one
    takes another style.
    """
    found: dict[str, Style] = {}
    for label, algorithm in named:
        if label in BASELINES:
            found[label] = BASELINES[label]
            continue
        start = _number(label)
        colour = BASELINES[algorithm].colour if algorithm in BASELINES else _OWN[_number(algorithm) % len(_OWN)]
        looks = [Style(colour, marker, line) for line in _LINES.values() for marker in _MARKERS]
        free = (looks[(start + i) % len(looks)] for i in range(len(looks)))
        found[label] = next((look for look in free if look not in found.values()), looks[start % len(looks)])
    return found


def shown(labels: Sequence[str]) -> dict[str, str]:
    """Label → displayed name: one line, without directories, shortened to fit a legend.

    If shortened names would be equal, the full labels.
    """
    short = {label: _cut(" ".join(_bare(label).split()) or "(no name)") for label in labels}
    twice = {text for text in short.values() if list(short.values()).count(text) > 1}
    return {label: " ".join(label.split()) if text in twice else text for label, text in short.items()}


def _bare(label: str) -> str:
    algorithm, space, rest = label.partition(" ")
    return f"{PurePath(algorithm).name}{space}{rest}" if ".py:" in algorithm else label


def _cut(text: str) -> str:
    half = (_LONGEST - 1) // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}…{text[-half:]}"


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:4], "big")


SETTINGS: Mapping[str, Any] = {
    "font.family": ["DejaVu Sans"],  # ships with matplotlib
    "font.size": 9.0,
    "axes.axisbelow": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 160,
    "svg.fonttype": "path",
    "svg.hashsalt": "lagbench",
    "pdf.fonttype": 42,
    "text.parse_math": False,  # names may contain $
    "text.usetex": False,
}
"""Settings of matplotlib with which figures are made and written."""
