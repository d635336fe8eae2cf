"""JSON of strangers: what is plain is read, all else refused in a sentence, fast."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lagbench.leaderboard import limits
from lagbench.leaderboard.strict_json import JsonError, parse, read_bytes

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_json_is_read(value: Any) -> None:
    assert parse(json.dumps(value).encode(), "it") == value
    assert parse(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"), "it") == value


def test_brackets_in_text_are_no_depth() -> None:
    text = json.dumps(["[" * 100 + '"' + "\\" * 3 + "{" * 50])
    assert parse(text.encode(), "it") == json.loads(text)
    assert parse(b"[" * 16 + b"]" * 16, "it")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"[" * 17 + b"]" * 17, "nested deeper than 16"),
        (b'{"a":' * 100_000, "nested deeper than 16"),
        (b"[" * 3_000_000, "nested deeper than 16"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' is there twice"),
        (b'{"x": [{"a": 1, "a": 1}]}', "the key 'a' is there twice"),
        (b"NaN", "NaN is no number"),
        (b'{"a": -Infinity}', "-Infinity is no number"),
        (b"1e400", "too large a number"),
        (b"1" * 31, "too many digits"),
        (b"-" + b"9" * 1_000_000, "too many digits"),
        (b"0." + b"1" * 1000, "too many digits"),
        (b'"\xff"', "utf-8"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b"", "Expecting value"),
        (b"{} {}", "Extra data"),
        (b"{'a': 1}", "Expecting property name"),
        (b'"' + b"\\" * 1_000_000, "not JSON"),
    ],
)
def test_what_is_refused(content: bytes, why: str) -> None:
    began = time.process_time()
    with pytest.raises(JsonError, match="it is not JSON as it is read here") as refused:
        parse(content, "it")
    assert why in str(refused.value)
    assert len(str(refused.value)) < 300
    assert time.process_time() - began < 5


def test_many_keys_of_which_one_is_there_twice() -> None:
    names = [f'"k{i}": 0' for i in range(200_000)]
    with pytest.raises(JsonError, match="the key 'k199999' is there twice"):
        parse(("{" + ",".join([*names, names[-1]]) + "}").encode(), "it")


def test_a_file_is_read_as_far_as_it_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(b"[" + b" " * 98 + b"]")
    assert len(read_bytes(file, 100)) == 100
    with pytest.raises(JsonError, match=r"x\.json is larger than 99 bytes"):
        read_bytes(file, 99)
    with pytest.raises(JsonError, match=r"none\.json cannot be read \(No such file"):
        read_bytes(tmp_path / "none.json")
    assert limits.JSON_BYTES < limits.MANIFEST_BYTES
