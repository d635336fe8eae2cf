"""The command line: one module per command, loaded when it is called.

Public, and resolved on first use, is what commands of other packages (``lagbench.commands``) share with these: common
options, progress, groups of commands, and output of results.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lagbench.cli import follow as follow
    from lagbench.cli import group as group
    from lagbench.cli import options as options
    from lagbench.cli import output as output
    from lagbench.cli import progress as progress

__all__ = ["follow", "group", "options", "output", "progress"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
