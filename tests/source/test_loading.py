"""Sources in one process: each has its own modules, by whatever names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lagbench.errors import UsageError
from lagbench.source.imports import collect
from lagbench.source.loading import is_alike, load
from tests.source.trees import TREE, lay_out


def value(root: Path, files: dict[str, str], main: str = "mine.py") -> object:
    return load(collect(lay_out(root, files) / main)).value()


def test_helpers_of_one_name_are_not_mixed_up(tmp_path: Path) -> None:
    """Nor with a module that the process has by that name, when it is imported or later."""
    sys.modules["helper"] = pytest
    try:
        mine = "def value():\n    import helper\n    from helper import x\n    return helper.x, x"
        found = [
            load(collect(lay_out(tmp_path / x, {"mine.py": mine, "helper.py": f"x = '{x}'"}) / "mine.py")) for x in "ab"
        ]
        assert [module.value() for module in found] == [("a", "a"), ("b", "b")]
        assert sys.modules["helper"] is pytest
    finally:
        del sys.modules["helper"]


# What it is annotated with is looked up by the name of its module.
DATACLASS = """
from __future__ import annotations
import dataclasses, typing, q
@dataclasses.dataclass
class A:
    x: q.B = 3
def value():
    return A().x if typing.get_type_hints(A) == {"x": int} else 0
"""


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("import p.q.r\ndef value(): return p.q.r.x", {"p/q/r.py": "x = 3"}),
        ("import p.q as s\ndef value(): return s.x", {"p/__init__.py": "", "p/q.py": "x = 3"}),
        ("from p import *\ndef value(): return x", {"p/__init__.py": "x = 3", "p/q.py": ""}),
        ("from p import q\ndef value(): return q.x", {"p/q.py": "from .r import x", "p/r.py": "x = 3"}),
        ("from .q import x\ndef value(): return x", {"q.py": "x = 3"}),
        ("try:\n    import nowhere\nexcept ImportError:\n    x = 3\ndef value(): return x", {}),
        ("import a\nx = 3\ndef value(): return a.x()", {"a.py": "import mine\ndef x(): return mine.x"}),
        ("from trace import x\ndef value(): return x", {"trace.py": "x = 3"}),
        ("import os.path\ndef value(): return 3 if os.path.sep else 0", {}),
        (DATACLASS, {"q.py": "B = int"}),
    ],
)
def test_every_form_of_import(text: str, files: dict[str, str], tmp_path: Path) -> None:
    assert value(tmp_path, {"mine.py": text, **files}) == 3


def test_a_module_of_a_package(tmp_path: Path) -> None:
    files = {"p/__init__.py": "", "p/mine.py": "from .a import x\nfrom p import a\ndef value(): return x + a.x"}
    assert value(tmp_path, {**files, "p/a.py": "x = 1"}, "p/mine.py") == 2


def test_what_was_loaded_stays_as_it_was(tmp_path: Path) -> None:
    """Also what is imported only when it is called."""
    source = collect(
        lay_out(tmp_path, {"mine.py": "def value():\n    import a\n    return a.x", "a.py": "x = 1"}) / "mine.py"
    )
    module = load(source)
    lay_out(tmp_path, {"a.py": "x = 2"})
    assert module.value() == 1
    assert load(source) is module
    assert load(collect(tmp_path / "mine.py")).value() == 2


def test_a_module_that_only_code_can_find_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    lay_out(tmp_path / "elsewhere", {"lost.py": "x = 1"})
    main = f"import sys\nsys.path.append({str(tmp_path / 'elsewhere')!r})\nimport lost"
    with pytest.raises(UsageError) as caught:
        load(collect(lay_out(tmp_path / "a", {"mine.py": main}) / "mine.py"))
    lost = tmp_path / "elsewhere/lost.py"
    assert f"cannot be imported: lost is imported from {lost}, which was found through sys.path" in str(caught.value)
    sys.modules.pop("lost")


def test_modules_of_one_source_are_alike(tmp_path: Path) -> None:
    mine = load(collect(lay_out(tmp_path, TREE) / "mine.py"))
    assert is_alike(mine.sign.__module__, mine.__name__)
    assert not is_alike("helper", mine.__name__)
    assert is_alike("lagbench.baselines.ppo", "lagbench.baselines.ppo")
    assert not is_alike("lagbench.algorithm", "lagbench.baselines.ppo")
