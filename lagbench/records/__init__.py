"""Records of runs: Arrow tables that can be read without lagbench.

The public modules resolve on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lagbench.records import directory as directory
    from lagbench.records import environment as environment
    from lagbench.records import export as export
    from lagbench.records import files as files
    from lagbench.records import kind as kind

__all__ = ["directory", "environment", "export", "files", "kind"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
