"""Classes that were made in cells, as IPython makes them: their text is known to Python's line cache."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from lagbench.errors import UsageError
from lagbench.source.algorithms import identify, load, source_of

Cell = Callable[[str], ModuleType]
IMPORTS = """
import math
import xml.dom.minidom
import torch.nn.functional as F
from typing import ClassVar, Any
from torch import *
from lagbench import Algorithm, Metrics
WIDTH = 0.5
"""
MINE = """
print("a cell may do more")

def scale(x):
    return WIDTH * math.sqrt(x) if xml.dom.minidom.Node else 0

class Base(Algorithm):
    presets: ClassVar[dict[str, Any]] = {"language": {"gamma": 1.0}}

    def loss(self, batch) -> tuple[Tensor, Metrics]:
        Late = 3
        new: Tensor = F.relu(self.policy.evaluate(batch).log_prob)
        return scale(4) * batch.objective(new), {}
"""


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cell]:
    """Run a cell in the notebook's module, in place of __main__."""
    notebook = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", notebook)
    names: list[str] = []

    def run(text: str) -> ModuleType:
        names.append(f"<ipython-input-{len(names)}>")
        linecache.cache[names[-1]] = (len(text), None, text.splitlines(keepends=True), names[-1])
        exec(compile(text, names[-1], "exec", dont_inherit=True), vars(notebook))
        return notebook

    yield run
    for name in names:
        linecache.cache.pop(name, None)


def text(cls: type) -> str:
    source = source_of(identify(cls))
    assert source is not None
    return source.text.decode()


def test_a_class_with_what_it_uses_of_other_cells(cell: Cell, capsys: pytest.CaptureFixture[str]) -> None:
    cell(IMPORTS)
    cell(MINE)
    notebook = cell("class Mine(Base):\n    def other(self):\n        return Mine\n")
    assert text(notebook.Mine) == (
        "from lagbench import Algorithm as Algorithm\n"
        "from typing import Any as Any\n"
        "from typing import ClassVar as ClassVar\n"
        "import torch.nn.functional as F\n"
        "from lagbench import Metrics as Metrics\n"
        "from torch import Tensor as Tensor\n"
        "WIDTH = 0.5\n"
        "import math as math\n"
        "import xml.dom.minidom\n" + MINE[MINE.index("def scale") : MINE.index("\n\nclass Base")] + "\n"
        + MINE[MINE.index("class Base") :] + "class Mine(Base):\n    def other(self):\n        return Mine\n"
    )  # fmt: skip
    assert capsys.readouterr().out == "a cell may do more\n"
    said = identify(notebook.Mine)
    assert said.name == "notebook.py:Mine"
    cls = load(said)
    assert cls.preset("language")["gamma"] == 1.0
    assert sys.modules[cls.__module__].scale(4) == 1.0


def test_what_a_cell_changes_makes_another(cell: Cell) -> None:
    cell(IMPORTS)
    before = identify(cell(MINE).Base)
    assert identify(cell("WIDTH = 1.0").Base) != before
    assert identify(cell("WIDTH = 0.5").Base) == before
    assert identify(cell(MINE.replace("sqrt", "cbrt")).Base) != before


def test_a_class_under_another_name(cell: Cell) -> None:
    cell(IMPORTS)
    cell(MINE)
    notebook = cell("Other = Base\nclass Mine(Other):\n    pass\n    def other(self): pass\n")
    assert text(notebook.Mine).endswith("\nOther = Base\nclass Mine(Other):\n    pass\n    def other(self): pass\n")


def test_annotations_stay_text_where_they_were(cell: Cell) -> None:
    cell(IMPORTS)
    notebook = cell("from __future__ import annotations\n" + MINE)
    assert text(notebook.Base).startswith("from __future__ import annotations\n")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (("WIDTH * ", "open(0) * "), None),
        (("WIDTH * ", "STATE * "), "Base uses STATE, which cannot be expressed as an import or a constant; put Base "
        "and"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_down(cell: Cell, changed: tuple[str, str], sentence: str | None) -> None:
    cell(IMPORTS + "import torch\nSTATE = torch.ones(3)\n")
    notebook = cell(MINE.replace(*changed))
    if sentence is None:
        assert "open(0)" in text(notebook.Base)
        return
    with pytest.raises(UsageError) as caught:
        identify(notebook.Base)
    assert str(caught.value).startswith(sentence)
    assert str(caught.value).endswith("into a file, and give path/to/file.py:Base")


def test_where_python_keeps_no_text(cell: Cell) -> None:
    cell(IMPORTS)
    notebook = cell(MINE)
    linecache.clearcache()
    with pytest.raises(UsageError, match="Python has no source text of Base; put Base and everything it uses into a"):
        identify(notebook.Base)
