"""A report is written for anybody to read, and read as data that somebody may have changed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lagbench import LagbenchError, UsageError
from lagbench.leaderboard import verification
from lagbench.leaderboard.agreement import Sample
from lagbench.leaderboard.former import Submission
from lagbench.leaderboard.verification import Reevaluation, Verification


def test_it_comes_back(verified: Verification, laid_out: Submission, tmp_path: Path) -> None:
    file = tmp_path / "there" / "report.json"
    verification.write(verified, file)
    assert verification.read(file, laid_out) == verified
    data = json.loads(file.read_text())
    assert (data["submission"], data["nonce"]) == (laid_out.sha256, "5a" * 32)
    (first, second) = data["reevaluated"]
    assert (first["run"], first["task"], first["lag"]) == ("runs/Hopper-v5/lag0-u8-seed0", "Hopper-v5", 0)
    assert second["lag"] == 2
    assert len(first["returns"]) == len(first["seeds"]) == 4
    assert first["mean"] == pytest.approx(sum(first["returns"]) / 4)
    assert data["environment"]["packages"]["envpool"]


def test_where_it_belongs(laid_out: Submission, tmp_path: Path) -> None:
    root = laid_out.path.parents[2]
    assert verification.file_of(laid_out.path) == root / "verifications" / "TESTING" / "mine.json"
    assert verification.file_of(tmp_path / "mine") == tmp_path / "mine.verification.json"


def test_none_is_written_over_another(verified: Verification, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text("kept")
    with pytest.raises(UsageError, match="is there already; give --overwrite to replace it"):
        verification.write(verified, file)
    assert file.read_text() == "kept"
    verification.write(verified, file, overwrite=True)
    assert json.loads(file.read_text())["nonce"] == verified.nonce


Change = Callable[[dict[str, Any]], Any]


def put(*path: Any, value: Any) -> Change:
    def change(data: dict[str, Any]) -> None:
        inner: Any = data
        for step in path[:-1]:
            inner = inner[step]
        assert inner[path[-1]] != value
        inner[path[-1]] = value

    return change


def better(data: dict[str, Any]) -> None:
    """A run's returns, and all that follows from them."""
    one = data["reevaluated"][0]
    one["returns"] = [value + 100 for value in one["returns"]]
    one["mean"] += 100


def dropped(data: dict[str, Any]) -> None:
    """A run, and all that is said of it."""
    gone = data["reevaluated"].pop(0)["run"]
    data["checks"] = [check for check in data["checks"] if check["run"] != gone]


def fewer(data: dict[str, Any]) -> None:
    """The last episode of a run, and what follows."""
    one = data["reevaluated"][0]
    one["seeds"].pop()
    one["returns"].pop()
    one.update(_stated_again(one))


def _stated_again(one: dict[str, Any]) -> dict[str, Any]:
    own: dict[str, Any] = {name: one[name] for name in ("run", "task", "lag", "updates", "seed")}
    lists: dict[str, Any] = {name: tuple(one[name]) for name in ("seeds", "returns")}
    again = Reevaluation(claimed=Sample(**one["claimed"]), **own, **lists)
    stated: dict[str, Any] = json.loads(json.dumps(again.to_json()))
    return stated


def humble(data: dict[str, Any]) -> None:
    """Another claim, and what follows."""
    one = data["reevaluated"][0]
    one["claimed"]["mean"] -= 1000
    one.update(_stated_again(one))


AGAIN = ("reevaluated", 0)
CHANGES: dict[str, tuple[Change, str]] = {
    "another submission": (put("submission", value="0" * 64), "is of another submission"),
    "another nonce": (put("nonce", value="0" * 64), "'seeds' is .*, and must be"),
    "no nonce": (put("nonce", value="5a"), "'nonce' must be 32 bytes in hex, not '5a'"),
    "format": (put("format_version", value=2), "has format 2; this lagbench reads 1"),
    "format that is true": (lambda d: d.update(format_version=True), "has format True; this lagbench reads 1"),
    "more episodes": (put("episodes", value=5), "'seeds' is .*, and must be"),
    "no episodes": (put("episodes", value=0), "'episodes' must be a whole number, 1 or more, not 0"),
    "a run left out": (dropped, "checks of runs/Hopper-v5/lag0.*, content hash must be there once, and are 0 times"),
    "a run's returns left out": (
        lambda d: d["reevaluated"].pop(1),
        "returns of runs/Hopper-v5/lag2.* must be there once, and are 0 times",
    ),
    "a run twice": (
        lambda d: d["reevaluated"].append(d["reevaluated"][0]),
        "returns of .* must be there once, and are 2 times",
    ),
    "a check left out": (lambda d: d["checks"].pop(3), "checks of .* must be there once, and are 0 times"),
    "a check left out of all runs": (
        lambda d: d.update(checks=[c for c in d["checks"] if c["name"] != "evaluation episodes"]),
        "checks of runs/Hopper-v5/lag0.*, evaluation episodes must be there once, and are 0 times",
    ),
    "a run that is none": (
        lambda d: d["checks"].append({**d["checks"][0], "run": "runs/Ant-v5/lag0-u8-seed0"}),
        "checks of runs/Ant-v5.* are there, which there must not be",
    ),
    "an outcome": (put("checks", 0, "outcome", value="fine"), "'outcome' must be one of ok, failed, skipped"),
    "returns of a run that was not played": (
        lambda d: [c.update(outcome="skipped") for c in d["checks"] if c["name"] == "re-evaluation"],
        "returns of .* are there, which there must not be",
    ),
    "a return": (lambda d: d["reevaluated"][0]["returns"].__setitem__(0, 1e6), "'mean' is .*, and by its returns"),
    "returns and their mean": (better, "'(z|flagged)' is .*, and by its returns"),
    "a return too few": (lambda d: d["reevaluated"][0]["returns"].pop(), "has 3 returns of 4 seeds; each seed has one"),
    "an episode too few": (fewer, "'seeds' is .*, and must be"),
    "no return": (lambda d: d["reevaluated"][0].update(returns=[], seeds=[]), "has 0 returns of 0 seeds"),
    "a return that is text": (put(*AGAIN, "returns", 1, value="12"), r"'returns\[1\]' must be a number, not '12'"),
    "a return that is null": (put(*AGAIN, "returns", 1, value=None), r"'returns\[1\]' must be a number, not None"),
    "a mean": (put(*AGAIN, "mean", value=1e6), "'mean' is 1000000.0, and by its returns"),
    "a spread": (put(*AGAIN, "std", value=None), "'std' is None, and by its returns"),
    "a distance": (put(*AGAIN, "z", value=0.0), "'z' is 0.0, and by its returns"),
    "a flag": (lambda d: d["reevaluated"][0].update(flagged=not d["reevaluated"][0]["flagged"]), "'flagged' is"),
    "a flag that is a number": (put(*AGAIN, "flagged", value=2), "'flagged' must be true or false, not 2"),
    "a seed": (put(*AGAIN, "seeds", 0, value=1), "'seeds' is .*, and must be"),
    "a seed below 0": (put(*AGAIN, "seeds", 0, value=-1), r"'seeds\[0\]' must be a whole number, not -1"),
    "a claim": (put(*AGAIN, "claimed", "mean", value=0.0), "'z' is .*, and by its returns"),
    "a claim and what follows": (humble, "'claimed' is Sample.*, and must be Sample"),
    "a task": (put(*AGAIN, "task", value="Ant-v5"), "'task' is 'Ant-v5', and must be 'Hopper-v5'"),
    "a lag": (put(*AGAIN, "lag", value=2), "'lag' is 2, and must be 0"),
    "a lag that is true": (put(*AGAIN, "lag", value=True), "'lag' must be a whole number, not True"),
    "a field more": (lambda d: d.update(state="reproduced"), "has 'state', which is none of its fields"),
    "a field less": (lambda d: d.pop("exact"), "lacks 'exact'"),
    "a list for an object": (put("environment", value=[]), r"'environment' must be an object, not \[\]"),
    "a tolerance that is none": (put("tolerance", "action", value="any"), "'action' must be a number, not 'any'"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_report_is_refused(name: str, verified: Verification, laid_out: Submission, tmp_path: Path) -> None:
    change, message = CHANGES[name]
    data = copy.deepcopy(json.loads(json.dumps(verified.to_json())))
    change(data)
    file = tmp_path / "report.json"
    file.write_text(json.dumps(data))
    with pytest.raises(LagbenchError, match=message) as refused:
        verification.read(file, laid_out)
    assert str(refused.value).startswith(str(file))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("[]", "has format None"),
        ('{"format_version": 1, "format_version": 1}', "is there twice"),
        ('{"format_version": NaN}', "NaN is no number"),
        ("[" * 10_000, "nested deeper"),
    ],
)
def test_what_is_no_report(text: str, message: str, laid_out: Submission, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text(text)
    with pytest.raises(LagbenchError, match=message):
        verification.read(file, laid_out)
    with pytest.raises(LagbenchError, match=r"none\.json cannot be read"):
        verification.read(tmp_path / "none.json", laid_out)
