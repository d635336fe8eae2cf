"""Silence deprecation warnings and advice of other packages on the command line."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator

_FOR_PROGRAMMERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
# Read by these packages when they are imported.
_VERBOSITY = ("TRANSFORMERS_VERBOSITY", "HF_HUB_VERBOSITY", "DATASETS_VERBOSITY")
_FILTERS = "PYTHONWARNINGS"


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Silence them in this process and its children within the context.

    Warnings requested with ``PYTHONWARNINGS`` or ``-W``, and messages requested from one of these packages, are shown.
    """
    asked_for = bool(sys.warnoptions) or _FILTERS in os.environ
    filters = {} if asked_for else {_FILTERS: ",".join(f"ignore::{kind.__name__}" for kind in _FOR_PROGRAMMERS)}
    added = {**{name: "error" for name in _VERBOSITY if name not in os.environ}, **filters}
    os.environ.update(added)
    try:
        with warnings.catch_warnings():
            for kind in () if asked_for else _FOR_PROGRAMMERS:
                warnings.simplefilter("ignore", kind)
            yield
    finally:
        for name in added:
            os.environ.pop(name, None)
