"""Algorithms in files, with what they import."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

MINE = """
from helper import sign
from lagbench import Algorithm

class Mine(Algorithm):
    def loss(self, batch):
        from trunk.heads import scale
        log_prob = self.policy.evaluate(batch).log_prob
        return -sign() * scale() * batch.objective(log_prob * batch.advantage), {}
"""
TREE = {
    "mine.py": MINE,
    "helper.py": "import math\ndef sign():\n    return +1.0\n",
    "trunk/__init__.py": "",
    "trunk/heads.py": "from . import units\ndef scale():\n    return units.ONE\n",
    "trunk/units.py": "ONE = 1.0\n",
    "trunk/unused.py": "1 / 0\n",
    "unused.py": "1 / 0\n",
}
"""A class with a helper beside it and a package, of which a part is imported within a function."""
USED = {"mine.py", "helper.py", "trunk/__init__.py", "trunk/heads.py", "trunk/units.py"}


def lay_out(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root
