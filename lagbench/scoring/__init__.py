"""Scoring: from runs to scores by lag with confidence intervals (docs/concepts/scores.md).

The public modules resolve on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lagbench.scoring import details as details
    from lagbench.scoring import find as find
    from lagbench.scoring import grid as grid
    from lagbench.scoring import measured as measured
    from lagbench.scoring import normalize as normalize
    from lagbench.scoring import plots as plots
    from lagbench.scoring import power as power
    from lagbench.scoring import results as results
    from lagbench.scoring import score as score
    from lagbench.scoring import sheets as sheets
    from lagbench.scoring import significance as significance
    from lagbench.scoring import table as table
    from lagbench.scoring import verdict as verdict

__all__ = [
    "details",
    "find",
    "grid",
    "measured",
    "normalize",
    "plots",
    "power",
    "results",
    "score",
    "sheets",
    "significance",
    "table",
    "verdict",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
