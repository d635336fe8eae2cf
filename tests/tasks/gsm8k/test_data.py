"""The questions: read in their order, whatever they are packed in, or refused by file and line."""

from __future__ import annotations

import json
import lzma
import os
from pathlib import Path
from typing import Any

import pytest

from lagbench.errors import UsageError
from lagbench.tasks.gsm8k import data
from tests.tasks.gsm8k.tiny import make_data, make_questions, write_lines

PUBLISHED = Path(__file__).parents[4] / "shared" / "data" / "gsm8k"


def test_a_directory_of_lines(tmp_path: Path) -> None:
    make_data(tmp_path, train=3, test=2)
    train = data.load(str(tmp_path), "train")
    assert [q.number for q in train] == [0, 1, 2]
    assert [q.target for q in train] == ["0", "1", "2"]
    assert train[2].question == "Ann has 3 figs and eats 1. How many are left?"
    assert train[2].solution == "3-1=<<3-1=2>>\n#### 2"
    assert [q.target for q in data.load(str(tmp_path), "test")] == ["3", "4"]


def test_packed_lines_are_the_same_questions(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "plain" / "train.jsonl", make_questions(5))
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "train.jsonl.xz").write_bytes(lzma.compress(file.read_bytes()))
    plain, packed = (data.load(str(tmp_path / name), "train") for name in ("plain", "packed"))
    assert plain == packed
    assert data.digest(plain) == data.digest(packed) != data.digest(plain[:4])


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "train.jsonl", make_questions(5))
    assert len(data.load(str(tmp_path), "train")) == 5
    write_lines(file, make_questions(2))
    os.utime(file, ns=(1, 1))
    assert len(data.load(str(tmp_path), "train")) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", r"not JSON \(Expecting property name"),
        ("[]", 'no text under "question"'),
        ("3", 'no text under "question"'),
        ({"question": "How many?"}, 'no text under "answer"'),
        ({"question": "How many?", "answer": 3}, 'no text under "answer"'),
        ({"question": None, "answer": "#### 3"}, 'no text under "question"'),
        ({"question": " ", "answer": "#### 3"}, "the question is empty"),
        ({"question": "How many?", "answer": "3"}, 'the answer does not end in "#### " and a number: it has no ####'),
        (
            {"question": "How many?", "answer": "#### 3 4"},
            ".* a number: the text after the last #### is '3 4'; correct or",
        ),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: Any, said: str) -> None:
    good = json.dumps(make_questions(1)[0])
    bad = line if isinstance(line, str) else json.dumps(line)
    (tmp_path / "train.jsonl").write_text(f"{good}\n{good}\n{bad}\n{good}\n")
    with pytest.raises(UsageError, match=rf"train\.jsonl, line 3: {said}"):
        data.load(str(tmp_path), "train")


@pytest.mark.parametrize(
    ("answer", "target"),
    [
        ("so #### 3 no\n#### 4", "4"),
        ("#### 4\r\nthat is all", "4"),
        ("####  1,000 ", "1000"),
        ("#### 1,234,567.50", "1234567.50"),
        ("#### -5.", "-5"),
        ("#### .5", ".5"),
        *((f"#### 3\n#### {text}", None) for text in ("1/2", "3 4", "4 no", "five", "5%", "12,50", "", ".", "-")),
    ],
)
def test_an_answer_is_the_last_of_its_line(tmp_path: Path, answer: str, target: str | None) -> None:
    write_lines(tmp_path / "train.jsonl", [{"question": "How many?", "answer": answer}])
    if target is None:
        with pytest.raises(UsageError, match=r"train\.jsonl, line 1: the answer does not end in .* after the last"):
            data.load(str(tmp_path), "train")
    else:
        assert data.load(str(tmp_path), "train")[0].target == target


def test_lines_of_other_systems(tmp_path: Path) -> None:
    """Carriage returns, and the mark that some editors put before the first byte."""
    make_data(tmp_path / "plain")
    for name in ("train", "test"):
        content = (tmp_path / "plain" / f"{name}.jsonl").read_bytes().replace(b"\n", b"\r\n")
        (tmp_path / f"{name}.jsonl").write_bytes(b"\xef\xbb\xbf" + content)
        assert data.load(str(tmp_path), name) == data.load(str(tmp_path / "plain"), name)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no directory .*nowhere.* --task-set data=DIR"):
        data.load(str(tmp_path / "nowhere"), "train")
    with pytest.raises(UsageError, match=r"has no train\.jsonl: it has no \.jsonl file; give a directory with"):
        data.load(str(tmp_path), "train")
    write_lines(tmp_path / "train.jsonl", make_questions(1))
    with pytest.raises(UsageError, match=r"has no test\.jsonl: it has the sets train; "):
        data.load(str(tmp_path), "test")
    with pytest.raises(UsageError, match=r"has no unseen\.jsonl: .*; did you mean 'test-unseen'\?"):
        data.load("mini", "unseen")
    (tmp_path / "test.jsonl").write_text("\n")
    with pytest.raises(UsageError, match=r"test\.jsonl contains no questions"):
        data.load(str(tmp_path), "test")
    (tmp_path / "odd.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"odd\.jsonl cannot be read"):
        data.load(str(tmp_path), "odd")
    (tmp_path / "torn.jsonl.xz").write_bytes(lzma.compress(b"x" * 100)[:-9])
    with pytest.raises(UsageError, match=r"torn\.jsonl\.xz cannot be read"):
        data.load(str(tmp_path), "torn")


def test_without_network_the_hub_is_named_and_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")

    def refuse(*arguments: Any, **options: Any) -> None:
        raise ConnectionError("no route to huggingface.co")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(
        UsageError, match=r"the set 'train' of openai/gsm8k \(main\) cannot be loaded from the hub \(no route"
    ) as caught:
        data.load("hub", "train")
    assert "give a directory with train.jsonl as published (https://github.com/openai/grade-school-math)" in str(
        caught.value
    )


def test_the_hubs_rows_are_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    asked = []

    def given(*names: str, split: str) -> list[dict[str, str]]:
        asked.append((*names, split))
        return make_questions(2)

    monkeypatch.setattr(datasets, "load_dataset", given)
    assert [q.target for q in data.load("hub", "test")] == ["0", "1"]
    assert asked == [("openai/gsm8k", "main", "test")]


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published questions are not here")
def test_the_published_questions() -> None:
    train, test = (data.load(str(PUBLISHED), name) for name in ("train", "test"))
    assert (len(train), len(test)) == (7473, 1319)
    assert test[0].target == "18"
    # Every answer in normal form is a whole number.
    assert all(q.target.removeprefix("-").isdecimal() for q in (*train, *test))
