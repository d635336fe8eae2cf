"""Which files belong to a source: those that it imports and that nobody installed."""

from __future__ import annotations

import hashlib
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
import torch

from lagbench.source.files import Source
from lagbench.source.imports import collect, collect_copy, is_installed
from tests.refusals import refusal
from tests.source.trees import TREE, USED, lay_out


def collected(root: Path, files: dict[str, str], main: str = "mine.py") -> set[str]:
    return set(collect(lay_out(root, files) / main).files)


def test_all_that_is_imported_directly_or_not_and_nothing_else(tmp_path: Path) -> None:
    source = collect(lay_out(tmp_path, TREE) / "mine.py")
    assert set(source.files) == USED
    assert source.main == "mine.py"
    assert source.place == str(tmp_path / "mine.py")


IN_A_PACKAGE = {
    "p/__init__.py": "",
    "p/q/__init__.py": "",
    "p/q/mine.py": "from ..a import x\nfrom p import b",
    "p/a.py": "",
    "p/b.py": "",
}


@pytest.mark.parametrize(
    ("files", "main", "unused"),
    [
        ({"mine.py": "import a.b.c", "a/b/c.py": "", "a/x.py": ""}, "mine.py", {"a/x.py"}),
        ({"mine.py": "import a.b as c", "a/__init__.py": "", "a/b.py": ""}, "mine.py", set()),
        ({"mine.py": "from a import *", "a/__init__.py": "", "a/b.py": ""}, "mine.py", set()),
        ({"mine.py": "try:\n    import a\nexcept ImportError:\n    import b", "b.py": ""}, "mine.py", set()),
        ({"mine.py": "import a", "a.py": "import mine"}, "mine.py", set()),
        ({"my-own.v2.py": "import a", "a.py": ""}, "my-own.v2.py", set()),
        # As for a script, what lies beside it comes before the standard library, but for what is built in.
        (
            {"mine.py": "import trace, sys, os", "trace.py": "", "sys.py": "", "os.py": ""},
            "mine.py",
            {"sys.py", "os.py"},
        ),
        ({"mine.py": "import lagbench", "lagbench/__init__.py": ""}, "mine.py", {"lagbench/__init__.py"}),
        ({"mine.py": "import torch", "torch/x.py": ""}, "mine.py", {"torch/x.py"}),
        # Relative imports are of the package that the file is in.
        ({**IN_A_PACKAGE, "c.py": ""}, "p/q/mine.py", {"c.py"}),
        ({"mine.py": "from .a import x\nfrom . import b", "a.py": "", "b.py": ""}, "mine.py", set()),
        ({"p/__init__.py": "from . import a", "p/a.py": ""}, "p/__init__.py", set()),
    ],
)
def test_every_form_of_import(files: dict[str, str], main: str, unused: set[str], tmp_path: Path) -> None:
    source = collect(lay_out(tmp_path / "there", files) / main)
    assert set(source.files) == files.keys() - unused
    # A copy is the same source, whatever else can be imported where it is read.
    copy = lay_out(tmp_path / "copy", {name: text.decode() for name, text in source.files.items()})
    assert collect_copy(copy / source.main, copy) == source


def test_modules_found_by_a_path_that_nobody_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of PYTHONPATH, or of an editable install."""
    lay_out(tmp_path / "lib", {"common/__init__.py": "from common import inner", "common/inner.py": ""})
    monkeypatch.syspath_prepend(tmp_path / "lib")
    files = {"mine.py": "from common import x"}
    assert collected(tmp_path / "a", files) == {"mine.py", "common/__init__.py", "common/inner.py"}


def test_a_distribution_in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``pip install --target`` leaves it."""
    lib = lay_out(tmp_path / "lib", {"common/__init__.py": "", "stray.py": ""})
    lay_out(lib, {"common-1.0.dist-info/RECORD": "common/__init__.py,sha256=x,0\n"})
    monkeypatch.syspath_prepend(lib)
    assert collected(tmp_path / "a", {"mine.py": "import common, stray"}) == {"mine.py", "stray.py"}


def test_what_is_installed() -> None:
    assert all(is_installed(Path(str(module.__file__))) for module in (torch, pytest, hashlib, sys.modules["random"]))
    assert not is_installed(Path(__file__))


def test_the_digest(tmp_path: Path) -> None:
    """Of one file its own, as it always was; of several each byte, name and the order counts."""
    alone = collect(lay_out(tmp_path, {"mine.py": "x = 1\n"}) / "mine.py")
    assert alone.sha256 == hashlib.sha256(b"x = 1\n").hexdigest()
    source = Source("b.py", {"a.py": b"1", "b.py": b"import a\n", "c/d.py": b""})
    assert source.text == (
        b"# lagbench source: b.py, 9 bytes\nimport a\n\n# lagbench source: a.py, 1 bytes\n1\n"
        b"# lagbench source: c/d.py, 0 bytes\n\n"
    )
    assert source.sha256 == hashlib.sha256(source.text).hexdigest()
    assert Source("a.py", source.files).sha256 != source.sha256


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("helper.py", "def (", "helper.py' cannot be imported: SyntaxError: "),
        (f"helper{EXTENSION_SUFFIXES[0]}", "", "is not a Python source file, so a run cannot copy it; install it"),
        ("helper.pyc", "", "is not a Python source file, so a run cannot copy it; install it"),
    ],
)
def test_what_cannot_be_followed(name: str, text: str, sentence: str, tmp_path: Path) -> None:
    assert sentence in refusal(collected, tmp_path, {"mine.py": "import helper", name: text})
