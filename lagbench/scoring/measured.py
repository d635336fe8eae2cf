"""Diagnostics of training by quantity, which explain how scores fall with lag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lagbench.scoring.details import Details, LineDetails
from lagbench.scoring.results import IntervalEstimate, Results
from lagbench.scoring.sheets import Sheet, in_text

HELD = "_fraction"
"""Suffix of metrics that give the share of samples that an algorithm clips, filters, truncates, …"""


@dataclass(frozen=True)
class Quantity:
    """A diagnostic.

    Attributes:
        name: name of the diagnostic; None: the algorithm's own share of samples held back.
        title: title of a column or panel.
        unit: unit on the axis of a panel.
    """

    name: str | None
    title: str
    unit: str


_TV = Quantity("tv", "TV after the updates", r"TV($\pi$, $\beta$)")
_KL = Quantity("kl", "KL after the updates", r"KL($\beta$‖$\pi$), nats")
_SHARE = Quantity(None, "clipped, filtered, truncated", "share of samples")
QUANTITIES: Mapping[str, tuple[Quantity, ...]] = {
    "lag": (
        Quantity("tv_backward", "TV before the updates", r"TV($\pi_T$, $\beta$)"),
        Quantity("tv_forward", "TV caused by the updates", r"TV($\pi$, $\pi_T$)"),
        _TV,
        Quantity("ess", "ESS before the updates", "share of samples"),
        _KL,
        _SHARE,
    ),
    # w and its ESS are constant within a phase: forward lag changes ρ.
    "updates": (_TV, _KL, Quantity("updates_made", "updates made", "updates per phase"), _SHARE),
}
"""The displayed quantities, by axis."""


def divergence(axis: str) -> Quantity:
    """The divergence against which scores are drawn, as a measure of lag.

    Args:
        axis: ``lag`` or ``updates``.

    Returns:
        TV before the updates; on a forward axis, after them.
    """
    return QUANTITIES[axis][0]


def held(line: LineDetails) -> str | None:
    """The metric for a line's share of clipped or dropped samples: the first with the suffix.

    Args:
        line: an entry.

    Returns:
        The metric's name; None without one.
    """
    names = sorted({name for point in line.points for name in point.measured if name.endswith(HELD)})
    return names[0] if names else None


def known(details: Details, axis: str) -> list[Quantity]:
    """The quantities that were measured.

    Args:
        details: details of all entries.
        axis: ``lag`` or ``updates``.

    Returns:
        Measured quantities, a subset of ``QUANTITIES``.
    """
    return [q for q in QUANTITIES[axis] if any(series(line, q) for line in details.lines)]


def series(line: LineDetails, quantity: Quantity) -> list[IntervalEstimate | None]:
    """A line's numbers.

    Args:
        line: an entry.
        quantity: the diagnostic.

    Returns:
        Numbers by value of the axis; empty if it was not measured.
    """
    name = held(line) if quantity.name is None else quantity.name
    found = [point.measured.get(name) if name else None for point in line.points]
    return found if any(one is not None for one in found) else []


def shares(details: Details) -> str:
    """The share of samples that each algorithm logs.

    Args:
        details: details of all entries.

    Returns:
        A sentence; empty if none does.
    """
    named = ", ".join(f"{line.label}: {name}" for line in details.lines if (name := held(line)))
    return f"Shares of samples, as logged by each algorithm: {named}." if named else ""


def sheet(results: Results, details: Details) -> Sheet | None:
    """The table of diagnostics, one column per quantity.

    Args:
        results: results of ``score.score_grid``.
        details: details of the same scores.

    Returns:
        The table; None if nothing was measured.
    """
    shown = known(details, results.axis)
    if not shown:
        return None
    rows = []
    for line in details.lines:
        found = [series(line, quantity) or [None] * len(line.points) for quantity in shown]
        for point, *row in zip(line.points, *found, strict=True):
            rows.append((line.label, str(point.value), *(in_text(one, "{:.3g}") for one in row)))
    notes = tuple(note for note in (shares(details), results.coverage) if note)
    return Sheet(
        "Measured in training", ("algorithm", results.axis, *(quantity.title for quantity in shown)), tuple(rows), notes
    )
