"""Sinks for services, in the modes that need no network: what they write is read without them, and nothing leaves."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lagbench as package
from lagbench import UsageError, registry
from lagbench.sinks.base import Sink, make
from lagbench.sinks.scalars import scalars, title
from tests.cli.processes import started
from tests.cli.run_here import SMALL
from tests.sinks.conftest import Followed

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of their own imports


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Their offline modes; whatever would leave the machine all the same comes to a proxy that is asked afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, address)
            monkeypatch.setenv(name.upper(), address)
        monkeypatch.setenv("WANDB_MODE", "offline")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        import trackio.sqlite_storage
        import trackio.utils

        for module in (trackio.utils, trackio.sqlite_storage):  # read from TRACKIO_DIR on import
            monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path / "trackio")
        yield
        proxy.settimeout(0)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def in_two_parts(name: str, followed: Followed, path: Path) -> None:
    """The first three phases, and after a resume the fourth."""
    for done, results in ((0, followed.results[:3]), (3, followed.results[3:4])):
        sink = make(name)
        sink.start(followed.spec, path, done)
        for result in results:
            sink.write(result)
        sink.close()


def wandb_records(file: Path) -> list[Any]:
    """Those of an offline run: a log of LevelDB's format, each record perhaps cut at a block's end."""
    from wandb.proto import wandb_internal_pb2 as proto

    data, block, at, pending = file.read_bytes(), 32768, 7, b""
    assert data[:4] == b":W&B"
    found = []
    while at < len(data):
        if (left := block - at % block) < 7:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        pending += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or its last part
            found.append(proto.Record.FromString(pending))
            pending = b""
    return found


def test_wandb_offline(followed: Followed, tmp_path: Path) -> None:
    import wandb

    in_two_parts("wandb", followed, tmp_path)
    wandb.teardown()  # files are complete when its service has ended, as at the end of a process
    files = sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 2
    # A resume goes on with the same run.
    assert len({file.name for file in files}) == 1
    rows = []
    for file in files:
        records = wandb_records(file)
        (run,) = (one.run for one in records if one.HasField("run"))
        assert (run.project, run.display_name) == ("lagbench", title(tmp_path))
        config = {item.key: json.loads(item.value_json) for item in run.config.update}
        assert {name: config[name] for name in ("task", "seed")} == {"task": "Hopper-v5", "seed": 0}
        history = [one.history for one in records if one.HasField("history")]
        rows += [{i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in one.item} for one in history]
    assert [row["_step"] for row in rows] == [64, 128, 192, 256]
    for row, result in zip(rows, followed.results, strict=False):
        assert row["diagnostics/tv"] == result.record.diagnostics["tv"]
        assert scalars(result).keys() <= row.keys()
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"


def test_trackio_local(followed: Followed, tmp_path: Path) -> None:
    in_two_parts("trackio", followed, tmp_path)
    with sqlite3.connect(tmp_path / "trackio/lagbench.db") as database:
        rows = database.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id").fetchall()
        ((name, config),) = database.execute("SELECT run_name, config FROM configs").fetchall()
    assert [(row[0], row[1]) for row in rows] == [(title(tmp_path), step) for step in (64, 128, 192, 256)]
    assert name == title(tmp_path)
    assert json.loads(config)["protocol"] == followed.spec.to_json()["protocol"]
    for (_, _, metrics), result in zip(rows, followed.results, strict=False):
        assert json.loads(metrics)["diagnostics/tv"] == result.record.diagnostics["tv"]
        assert scalars(result).keys() <= json.loads(metrics).keys()


def test_stdout_is_for_the_result(tmp_path: Path) -> None:
    """Whatever they print when the process ends."""
    logs = ("--log", "wandb", "--log", "trackio")
    with started(tmp_path, "run", *SMALL, *logs, "--out", "run", "-q", prepare=into_here) as child:
        assert child.wait() == 0, child.err
        assert child.out == "run\n"
        assert "failed" not in child.err
    assert len([*tmp_path.glob("run/wandb/offline-run-*")]) == 1
    with sqlite3.connect(tmp_path / "trackio/lagbench.db") as database:
        assert database.execute("SELECT count(*) FROM metrics").fetchone() == (5,)


def into_here() -> None:
    """Trackio's directory is read when it is imported."""
    os.environ["TRACKIO_DIR"] = str(Path("trackio").resolve())
    os.environ["WANDB_MODE"] = "offline"


def test_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From Python, beside a sink of one's own."""
    monkeypatch.chdir(tmp_path)
    seen: list[int] = []

    class Mine(Sink):
        def write(self, result: package.PhaseResult) -> None:
            seen.append(result.record.phase)

    sizes = {"actors": 4, "phase_steps": 16, "minibatch": 32, "budget": 320, "eval_episodes": 1}
    run = package.run(out="run", sinks=["jsonl", Mine()], **sizes)  # type: ignore[arg-type]
    assert seen == [0, 1, 2, 3, 4]
    assert len((run.path / "log.jsonl").read_text().splitlines()) == 5


@pytest.mark.parametrize(
    ("sink", "says"),
    [
        ("wandbb", "unknown sink 'wandbb'; did you mean 'wandb'? Known: console, jsonl, tensorboard, trackio, wandb."),
        (3, r"a sink is a lagbench.Sink or the name of one \(.*\), not 3"),
    ],
)
def test_what_is_no_sink_is_refused_before_anything_is_written(sink: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says.replace("? K", r"\? K")):
        package.run(out=tmp_path / "run", sinks=[sink])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["tensorboard", "trackio", "wandb"])
def test_a_missing_extra_costs_a_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for module in [m for m in sys.modules if m.startswith(("torch.utils.tensorboard", f"lagbench.sinks.{name}"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=rf"^--log {name} needs an extra: pip install 'lagbench\[{name}\]'$"):
        make(name)
    assert name in registry.sinks()
