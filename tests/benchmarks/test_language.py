"""The ratios on a language model at tiny sizes: that they are measured, not what they are."""

import json

import pytest

from benchmarks import language
from benchmarks.language import MEASUREMENTS, LanguagePlan

TINY = LanguagePlan(updates=2, minibatch=8, blocks=2, sampling_blocks=2, warm_up=1)


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_each_ratio_is_measured(name: str) -> None:
    if name == "phase":
        pytest.importorskip("trl")
    result = MEASUREMENTS[name](TINY)
    low, high = result.quartiles
    assert 0 < low <= result.ratio <= high
    assert result.speed > 0
    assert result.other_speed > 0
    assert (result.name, result.task, result.blocks) == (name, "GSM8kMini-v0", 2)
    assert result.target == (1.5 if name == "phase" else 1.0)
    assert all(1 <= length <= 96 for length in result.lengths)


def test_both_sides_sample_alike_and_count_alike() -> None:
    """Some hundred completions of one prompt: as long on both sides, but for chance."""
    sampler = language._Sampler(copies=200)
    (prompt,) = sampler.prompts(0, 1)
    ours, theirs = (sample([prompt]) / 200 for sample in (sampler.ours, sampler.theirs))
    assert ours == pytest.approx(theirs, rel=0.1)


def test_tokens_are_padded_on_the_left() -> None:
    tokens, mask = language._left_padded([[5, 6, 7], [8]], 0)
    assert tokens.tolist() == [[5, 6, 7], [0, 0, 8]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]


def test_the_table_has_a_line_for_each_ratio(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(language, "QUICK", TINY)
    language.main(["--quick", "--only", "generate", "--only", "generate-alone"])
    lines = capsys.readouterr().out.splitlines()
    assert "transformers" in lines[0]
    assert lines[1].startswith("2 updates and 16 completions a phase")
    assert [line.split("  ")[0] for line in lines[-2:]] == [
        "sampling ÷ transformers' generate",
        "the same, every prompt once",
    ]
    assert all("met" in line or "missed" in line for line in lines[-2:])


def test_json_is_one_document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(language, "QUICK", TINY)
    language.main(["--quick", "--only", "generate", "--updates", "1", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert "trl" in document["context"]
    assert document["plan"]["updates"] == 1
    (result,) = document["results"]
    assert result["name"] == "generate"
    assert len(result["lengths"]) == 2
