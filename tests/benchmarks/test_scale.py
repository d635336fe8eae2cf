"""A model made wider computes the same, and what a run of it takes is measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import scale
from lagbench.policies import pretrained
from lagbench.tasks.gsm8k.data import MINI_DIRECTORY


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_computes_the_same_and_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pretrained.quiet():
        scale.main(["-o", str(tmp_path), "--times", "2", "--phases", "2", "--eval-episodes", "1", "max_new_tokens=8"])
    wide, small = (pretrained.find(str(path)).model() for path in (tmp_path / "model", MINI_DIRECTORY))
    tokens = torch.arange(3, 35).view(2, 16)
    with torch.no_grad():
        torch.testing.assert_close(wide(tokens).logits, small(tokens).logits, rtol=0, atol=1e-3)
    found = json.loads(capsys.readouterr().out)
    layers, words = 638_976, 128 * 1024
    norms = sum(p.numel() for p in small.parameters()) - layers - words
    assert found["weights"] == 4 * layers + 2 * (words + norms)
    assert (found["completions"], found["tokens"] <= 32 * 8) == (32, True)
    assert sum(found["shares of time"].values()) == pytest.approx(1)
    assert found["seconds"] > 0 < found["peak GiB"]
