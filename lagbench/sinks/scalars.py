"""Scalars of a phase, with the names that all logs use."""

from __future__ import annotations

from pathlib import Path

from lagbench.training import PhaseResult


def title(path: Path) -> str:
    """The title of a run among others: the last three parts of its path."""
    return "/".join(path.resolve().parts[-3:])


def scalars(result: PhaseResult) -> dict[str, float]:
    """All measurements of a phase as a flat mapping, with names such as ``diagnostics/tv`` and ``metrics/loss``."""
    record = result.record
    row = {f"diagnostics/{k}": v for k, v in record.diagnostics.items()}
    row |= {f"metrics/{k}": v for k, v in record.metrics.items()}
    row |= {f"evaluation/{e.mode}": e.mean_return for e in record.evaluations}
    row |= {f"seconds/{k}": v for k, v in record.seconds.items()}
    if record.episodes:
        row["episodes/return"] = sum(e.episode_return for e in record.episodes) / len(record.episodes)
        row["episodes/length"] = sum(e.length for e in record.episodes) / len(record.episodes)
    return {**row, "updates": float(record.updates_made)}
