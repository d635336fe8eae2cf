"""The committed pictures are what the script makes; lines are imports that no others imply."""

from __future__ import annotations

import pytest

from scripts.architecture import FIGURES, LAYER, PICTURES, between_layers


@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_is_what_the_script_makes(name: str) -> None:
    assert (FIGURES / name).read_text(encoding="utf-8") == PICTURES[name](), "python -m scripts.architecture"


def test_lines_run_down_and_imply_the_rest() -> None:
    links = between_layers()
    assert links["runner"] >= {"checkpoint", "training"}
    # It imports the protocol too, which it reaches through what is drawn.
    assert "protocol" not in links["runner"]
    assert all(LAYER[target] < LAYER[name] for name, own in links.items() for target in own)
