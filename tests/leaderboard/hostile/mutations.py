"""Submissions changed at random and hashed again, as a program that validates them: a crash of it is seen from outside.

Given a valid submission of SMALL, a directory to work in, and the first and the last number, it prints for every number
between them a line of JSON when it begins, and another when it is done: {"number", "kind", "outcome", "checks"}.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import safetensors.torch

from lagbench.leaderboard import manifest
from lagbench.leaderboard.validate import validate
from lagbench.records.checksums import sealed
from tests.leaderboard import small
from tests.leaderboard.hostile.attack import respecify, rewrite, summarize_again
from tests.leaderboard.hostile.judge import found
from tests.leaderboard.submitted import hash_again
from tests.records.damage import KINDS
from tests.records.forge import change_policy, change_table

JSONS = ("spec.json", "environment.json", "result.json")
TABLES = ("evaluations", "phases", "final")
WORDS = ("", "mode", "stochastic", "completed", "diverged", "<b>", "\u202e", "\ud800", "../x", "x" * 2000, "0" * 64)
NUMBERS = (0, 1, -1, 2**31, 2**63 - 1, -(2**63), 0.5, -0.0, 5e-324, 1e308, math.nan, math.inf, -math.inf)


def _table(table: str) -> str:
    return "final.arrow" if table == "final" else f"{table}/data.arrow"


def _run(path: Path, rng: random.Random) -> Path:
    return path / rng.choice(small.RUNS)


def _value(old: Any, rng: random.Random) -> Any:
    """Something else in the place of a value, often of its kind."""
    if rng.random() < 0.15:
        return rng.choice([None, True, [], {}, [old], {"x": old}, rng.choice(WORDS), rng.choice(NUMBERS)])
    if isinstance(old, bool):
        return not old
    if isinstance(old, int):
        return rng.choice([old + 1, old - 1, -old, old * 2, float(old), rng.choice(NUMBERS)])
    if isinstance(old, float):
        return rng.choice([math.nextafter(old, math.inf), old + 1, -old, old * 1.001, rng.choice(NUMBERS)])
    if isinstance(old, str):
        at = rng.randrange(len(old) + 1)
        return rng.choice([old[:at], old[:at] + "x" + old[at:], old.upper(), rng.choice(WORDS)])
    return rng.choice([None, 0, "x", [], {}])


def _bytes(path: Path, rng: random.Random) -> str:
    """Bytes of any file."""
    file = rng.choice(sorted(one for one in path.rglob("*") if one.is_file() and one.name != manifest.FILE))
    kind = rng.choice(sorted(KINDS))
    content = KINDS[kind](bytearray(file.read_bytes()), rng)
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    if file.name == "policy.safetensors" and content is not None and rng.random() < 0.5:
        change_policy(file.parent, content)
    return "bytes"


def _json(path: Path, rng: random.Random) -> str:
    """A value of a JSON file, wherever in it."""
    name = rng.choice([*JSONS, manifest.FILE])
    file = path / name if name == manifest.FILE else _run(path, rng) / name
    data = json.loads(file.read_text())
    place: Any = data
    while True:
        key = rng.choice(range(len(place)) if isinstance(place, list) else sorted(place))
        if not place[key] or not isinstance(place[key], dict | list) or rng.random() < 0.1:
            break
        place = place[key]
    how = rng.random()
    if how < 0.1:
        del place[key]
    elif how < 0.2 and isinstance(place, dict):
        place[rng.choice(WORDS)] = place[key]
    else:
        place[key] = _value(place[key], rng)
    if isinstance(data, dict) and name == "result.json" and rng.random() < 0.7:
        data = sealed(data)
    if isinstance(data, list) and rng.random() < 0.7:
        data = [sealed(one) if isinstance(one, dict) else one for one in data]
    if name == manifest.FILE and isinstance(data, dict) and isinstance(data.get("files"), dict):
        # What is no JSON is written as Python would, below.
        with contextlib.suppress(ValueError, TypeError):
            file.write_bytes(manifest.dump(data))
            return "JSON"
    file.write_text(json.dumps(data))
    return "JSON"


def _spec(path: Path, rng: random.Random) -> str:
    """A field of a specification, in spec.json and in every table."""

    def change(spec: dict[str, Any]) -> None:
        place = spec
        key = rng.choice(sorted(place))
        while isinstance(place[key], dict) and place[key] and rng.random() < 0.9:
            place = place[key]
            key = rng.choice(sorted(place))
        place[key] = _value(place[key], rng)

    for run in [path / name for name in small.RUNS] if rng.random() < 0.3 else [_run(path, rng)]:
        respecify(run, change)
    return "specification"


def _cell(columns: dict[str, list[Any]], rng: random.Random) -> None:
    """A value of a column, or within it."""
    names = [name for name in sorted(columns) if columns[name]]
    name = rng.choice(names)
    place: Any = columns[name]
    key = rng.randrange(len(place))
    while isinstance(place[key], list | tuple) and place[key] and rng.random() < 0.9:
        if isinstance(place[key], tuple):
            place[key] = list(place[key])
        place = place[key]
        key = rng.randrange(len(place))
    place[key] = _value(place[key], rng)


def _rows(columns: dict[str, list[Any]], rng: random.Random) -> None:
    """Rows in another order, left out, or there twice."""
    size = len(next(iter(columns.values())))
    order = list(range(size))
    how = rng.randrange(4)
    if how == 0:
        rng.shuffle(order)
    elif how == 1:
        del order[rng.randrange(size) :]
    elif how == 2:
        del order[rng.randrange(size)]
    else:
        order.insert(rng.randrange(size), rng.randrange(size))
    for name in columns:
        columns[name] = [columns[name][i] for i in order]


def _values(path: Path, rng: random.Random) -> str:
    """Values of a table, which is valid Arrow again; by somebody who knows what is hashed, or who does not."""
    run, table = _run(path, rng), rng.choice(TABLES)
    change = rng.choice([_cell, _cell, _cell, _rows])
    tries = 0
    while True:
        tries += 1
        try:
            _changed(run, table, lambda columns: change(columns, rng), rng)
            return "values"
        except (pa.ArrowException, TypeError, OverflowError, ValueError):
            # Not every value can stand in every column.
            if tries == 50:
                raise


def _changed(run: Path, table: str, change: Callable[[dict[str, list[Any]]], None], rng: random.Random) -> None:
    file = run / _table(table)

    def values(t: Any) -> Any:
        columns = t.to_pydict()
        change(columns)
        return pa.table(columns, schema=t.schema)

    compression = rng.choice([None, "zstd", "lz4"])
    new = values(pa.ipc.open_file(file.read_bytes()).read_all())
    rewrite(file, lambda _: new, compression=compression)
    if table != "final" and rng.random() < 0.7:
        change_table(run, table, lambda columns: None)
        if table == "evaluations" and rng.random() < 0.7:
            # Of what is no run any more there is no summary.
            with contextlib.suppress(Exception):
                summarize_again(run)


def _weights(path: Path, rng: random.Random) -> str:
    """Weights of a policy, whose hash is made anew."""
    run = _run(path, rng)
    state = safetensors.torch.load((run / "policy.safetensors").read_bytes())
    values = state[rng.choice(sorted(state))].view(-1)
    values[rng.randrange(len(values))] = rng.choice([0.0, 1e30, math.nan, math.inf, rng.gauss(0, 1)])
    change_policy(run, safetensors.torch.save(state))
    return "weights"


def _exchanged(path: Path, rng: random.Random) -> str:
    """A file of one run in the other, or both in each other's place."""
    first, second = (path / run for run in small.RUNS)
    names = sorted(one.relative_to(first) for one in first.rglob("*") if one.is_file())
    name = rng.choice(names)
    one, other = first / name, second / (name if rng.random() < 0.8 else rng.choice(names))
    contents = one.read_bytes(), other.read_bytes()
    one.write_bytes(contents[1])
    if rng.random() < 0.7:
        other.write_bytes(contents[0])
    return "files exchanged"


MUTATIONS = (_bytes, _bytes, _json, _json, _spec, _values, _values, _values, _weights, _exchanged)


def outcome(path: Path, honest: dict[str, Any]) -> tuple[str, list[str]]:
    """What became of a submission, and the checks that found something."""
    judged = found(validate(path))
    if not judged["passed"]:
        return "found", judged["checks"]
    if judged["scores"] == honest["scores"]:
        return "the same scores", []
    finals = [row[:3] for row in judged["scores"]]
    same = finals == [row[:3] for row in honest["scores"]]
    return ("the same finals, another reported area" if same else f"ANOTHER SCORE: {judged['scores']}"), []


def main(base: str, work: str, first: str, last: str) -> None:
    """See the module."""
    path = Path(work) / "mine"
    with small.known():
        honest = found(validate(Path(base)))
        assert honest["passed"], honest
        for number in range(int(first), int(last)):
            print(json.dumps({"number": number}), flush=True)
            rng = random.Random(number)
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(base, path)
            kind = MUTATIONS[number % len(MUTATIONS)](path, rng)
            # Not of a manifest that is none any more.
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
                hash_again(path)
            try:
                result, checks = outcome(path, honest)
            except Exception:
                result, checks = f"BROKE: {traceback.format_exc()}", []
            print(json.dumps({"number": number, "kind": kind, "outcome": result, "checks": checks}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
