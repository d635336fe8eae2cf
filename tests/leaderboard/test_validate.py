"""What a validation finds: in what is whole nothing, and every kind of attack by the check that is there for it."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import safetensors.torch
import torch

from lagbench import load_suite
from lagbench.leaderboard import limits, manifest
from lagbench.leaderboard.findings import CHECKS, Findings, Problem
from lagbench.leaderboard.former import Submission
from lagbench.leaderboard.validate import validate
from lagbench.records.checksums import sealed
from lagbench.records.episodes import summed
from tests.leaderboard.submitted import change_final, hash_again
from tests.records.forge import Columns, change_policy, change_table, write_result

PLACE = "runs/Hopper-v5/lag2-u8-seed1"
OTHER = "runs/Hopper-v5/lag2-u8-seed0"
Change = Callable[[Path], Any]


def copied(submitted: Submission, tmp_path: Path) -> Path:
    """A copy to change; its name must stay one that a submission may have."""
    path = tmp_path / "mine"
    shutil.copytree(submitted.path, path)
    return path


def in_json(name: str, change: Callable[[Any], Any]) -> Change:
    """Change a JSON file of the run at PLACE, or submission.json."""

    def attack(path: Path) -> None:
        file = path / name if name == manifest.FILE else path / PLACE / name
        data = json.loads(file.read_text())
        new = change(data)
        content = data if new is None else new
        if name == "result.json" and isinstance(content, dict):
            content = sealed(content)
        file.write_text(json.dumps(content))
        if name == manifest.FILE:
            file.write_bytes(manifest.dump(content))

    return attack


def written(name: str, content: str | bytes) -> Change:
    """A file of the run at PLACE, or of the submission, with this content."""

    def attack(path: Path) -> None:
        file = path / name if name in (manifest.FILE, manifest.SOURCE) else path / PLACE / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)

    return attack


def in_table(table: str, change: Callable[[Columns], Any]) -> Change:
    """Change a table's rows, and with them its content hash."""
    return lambda path: change_table(path / PLACE, table, change)


def in_final(change: Callable[[Columns], Any]) -> Change:
    """Change final.arrow alone."""
    return lambda path: change_final(path / PLACE, change)


def in_both(change: Callable[[Columns], Any]) -> Change:
    """Change final.arrow and, in what they share, the rows of evaluations that it stands for."""

    def attack(path: Path) -> None:
        changed: dict[str, list[Any]] = {}
        change_final(path / PLACE, lambda columns: (change(columns), changed.update(columns)))

        def follow(columns: Columns) -> None:
            last = [i for i, v in enumerate(columns["version"]) if v == max(columns["version"])]
            rows = [i for i in last if columns["mode"][i] == "stochastic"]
            for name in columns:
                for i, value in zip(rows, changed[name], strict=True):
                    columns[name][i] = value

        change_table(path / PLACE, "evaluations", follow)
        summarize_again(path)

    return attack


def summarize_again(path: Path) -> None:
    """Have result.json say what the tables say."""
    from lagbench import open as open_run
    from lagbench import summarize

    run = open_run(path / PLACE)
    assert run.result is not None
    write_result(path / PLACE, {**run.result, "summary": {**run.summary, **summarize(run)}})


def rewritten(table: str, change: Callable[[Any], Any]) -> Change:
    """A table's file written anew as a pyarrow table of whatever kind."""

    def attack(path: Path) -> None:
        name = f"{table}.arrow" if table == "final" else f"{table}/data.arrow"
        file = path / PLACE / name
        new = change(pa.ipc.open_file(file.read_bytes()).read_all())
        file.unlink()
        with pa.ipc.new_file(str(file), new.schema) as writer:
            writer.write_table(new)

    return attack


def retyped(name: str, kind: Any) -> Callable[[Any], Any]:
    return lambda t: t.set_column(t.column_names.index(name), pa.field(name, kind), t[name].cast(kind)).cast(
        pa.schema([pa.field(f.name, kind) if f.name == name else f for f in t.schema], metadata=t.schema.metadata)
    )


def extended(t: Any) -> Any:
    field = t.schema.field("phase").with_metadata({"ARROW:extension:name": "arrow.py_extension_type"})
    return t.cast(t.schema.set(t.schema.get_field_index("phase"), field))


def dictionaries(t: Any) -> Any:
    at = t.column_names.index("mode")
    return t.set_column(at, "mode", t["mode"].dictionary_encode()).replace_schema_metadata(t.schema.metadata)


def with_metadata(key: bytes, value: bytes | None) -> Callable[[Any], Any]:
    def change(t: Any) -> Any:
        metadata = {k: v for k, v in t.schema.metadata.items() if k != key}
        return t.replace_schema_metadata(metadata if value is None else {**metadata, key: value})

    return change


def policy(change: Callable[[dict[str, Any]], Any]) -> Change:
    """Change the tensors of a policy, and the hashes of the file."""

    def attack(path: Path) -> None:
        state = safetensors.torch.load((path / PLACE / "policy.safetensors").read_bytes())
        change(state)
        change_policy(path / PLACE, safetensors.torch.save(state))

    return attack


def policy_bytes(change: Callable[[dict[str, Any], bytes], bytes]) -> Change:
    """Change the header of a policy, given with the bytes behind it."""

    def attack(path: Path) -> None:
        content = (path / PLACE / "policy.safetensors").read_bytes()
        (size,) = struct.unpack("<Q", content[:8])
        change_policy(path / PLACE, change(json.loads(content[8 : 8 + size]), content[8 + size :]))

    return attack


def packed(header: Any, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def moved(header: dict[str, Any], body: bytes) -> bytes:
    header["log_std"]["data_offsets"] = [0, 12]
    return packed(header, body)


def set_to(name: str, row: int, value: Any) -> Callable[[Columns], Any]:
    def change(columns: Columns) -> None:
        columns[name][row] = value

    return change


def nested(name: str, row: int, at: int, value: Any) -> Callable[[Columns], Any]:
    def change(columns: Columns) -> None:
        columns[name][row][at] = value

    return change


def better(columns: Columns) -> None:
    """More reward in the last step of the first episode, and a return to match."""
    columns["reward"][0][-1] += 100.0
    columns["return"][0] = summed(np.array(columns["reward"][0], np.float32))


def cut(columns: Columns) -> None:
    for name in columns:
        columns[name].pop()


def doubled(columns: Columns) -> None:
    for name in columns:
        columns[name].append(columns[name][-1])


def link(target: str) -> Change:
    def attack(path: Path) -> None:
        file = path / PLACE / "environment.json"
        file.unlink()
        file.symlink_to(target)

    return attack


def copied_policy(path: Path) -> None:
    """That of the other seed."""
    change_policy(path / PLACE, (path / OTHER / "policy.safetensors").read_bytes())


def spec_moved(path: Path) -> None:
    """Another run in the place of this one."""
    shutil.rmtree(path / PLACE)
    shutil.copytree(path / OTHER, path / PLACE)


def spec(**changes: Any) -> Change:
    return in_json("spec.json", lambda data: data.update(changes))


def protocol(**changes: Any) -> Change:
    return in_json("spec.json", lambda data: data["protocol"].update(changes))


def in_manifest(change: Callable[[Any], Any]) -> Change:
    return in_json(manifest.FILE, change)


def unhashed(attack: Change) -> Change:
    """An attack after which nobody hashes the manifest again."""
    attack.__dict__["unhashed"] = True
    return attack


def without_lag(path: Path) -> None:
    for run in (path / "runs").glob("*/lag2-*"):
        shutil.rmtree(run)


def edited(path: Path) -> None:
    file = path / PLACE / "result.json"
    file.write_text(file.read_text().replace('"budget_used": 2048', '"budget_used": 2049'))


def a_byte(path: Path) -> None:
    file = path / PLACE / "final.arrow"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DEEP = "[" * 10_000 + "]" * 10_000
HTML = "<script>alert(1)</script>"
E = f"{PLACE}/evaluations/data.arrow"
P = f"{PLACE}/phases/data.arrow"
F = f"{PLACE}/final.arrow"
S, R, V = f"{PLACE}/spec.json", f"{PLACE}/result.json", f"{PLACE}/environment.json"
W, M = f"{PLACE}/policy.safetensors", manifest.FILE
NAN, INF = float("nan"), float("inf")

# Check, file, row, a part of the message, the attack.
ATTACKS: dict[str, tuple[str, str, int | None, str, Change]] = {
    "a file too many": (
        "files",
        "runs/evil.py",
        None,
        "no file of a submission",
        lambda p: (p / "runs/evil.py").write_text("1"),
    ),
    "a pickle": (
        "files",
        f"{PLACE}/checkpoint/state.pt",
        None,
        "no file of a submission",
        written("checkpoint/state.pt", "x"),
    ),
    "a name of two lines": (
        "files",
        r"runs/a\nb",
        None,
        "no file",
        unhashed(lambda p: (p / "runs/a\nb").write_text("1")),
    ),
    "a name that is no text": (
        "files",
        r"runs/\udcff",
        None,
        "no file",
        unhashed(lambda p: open(bytes(p) + b"/runs/\xff", "w").close()),
    ),
    "a link out": ("files", V, None, "symbolic link", link("/etc/passwd")),
    "a link within": ("files", V, None, "symbolic link", link("../lag2-u8-seed0/environment.json")),
    "a directory that is a link": (
        "files",
        "runs/Ant-v5",
        None,
        "symbolic link",
        lambda p: (p / "runs/Ant-v5").symlink_to(p / "runs/Hopper-v5"),
    ),
    "a pipe": (
        "files",
        f"{PLACE}/pipe",
        None,
        "neither a file nor a directory",
        lambda p: os.mkfifo(p / PLACE / "pipe"),
    ),
    "no policy": ("files", W, None, "missing", lambda p: (p / W).unlink()),
    "no final episodes": ("files", F, None, "missing", lambda p: (p / F).unlink()),
    "no specification": ("files", S, None, "missing", lambda p: (p / S).unlink()),
    "no manifest": ("files", M, None, "missing", unhashed(lambda p: (p / M).unlink())),
    "large JSON": (
        "files",
        V,
        None,
        "1,048,576 are allowed",
        written("environment.json", " " * (limits.JSON_BYTES + 1)),
    ),
    "nested JSON": ("json", R, None, "nested deeper than 16", written("result.json", DEEP)),
    "nested JSON in the manifest": ("json", M, None, "nested deeper", unhashed(written(M, DEEP))),
    "a key twice": ("json", S, None, "'seed' is there twice", written("spec.json", '{"seed": 0, "seed": 1}')),
    "NaN in JSON": ("json", S, None, "NaN is no number", written("spec.json", '{"seed": NaN}')),
    "a number beyond all": ("json", S, None, "too large a number", written("spec.json", '{"seed": 1e999}')),
    "a number of many digits": (
        "json",
        S,
        None,
        "too many digits",
        written("spec.json", '{"seed": 1%s}' % ("0" * 5000)),
    ),
    "no JSON at all": ("json", V, None, "not JSON", written("environment.json", b"\xff\xfe")),
    "markup in the name": ("manifest", M, None, "has a < or >", in_manifest(lambda d: d.update(name=HTML))),
    "a script for a link": (
        "manifest",
        M,
        None,
        "url must be an https address",
        in_manifest(lambda d: d.update(url="javascript:alert(1)")),
    ),
    "an unknown suite": (
        "manifest",
        M,
        None,
        "there is no suite 'easy'",
        in_manifest(lambda d: d["suite"].update(name="easy")),
    ),
    "another order of keys": (
        "manifest",
        M,
        None,
        "not written as submit writes it",
        unhashed(lambda p: (p / M).write_text(json.dumps(json.loads((p / M).read_text()), indent=1))),
    ),
    "a path out": (
        "manifest",
        M,
        None,
        "is no path of a file",
        unhashed(in_manifest(lambda d: d["files"].update({"../../x": {"sha256": "0" * 64, "bytes": 1}}))),
    ),
    "a byte changed": ("hashes", F, None, "its SHA-256 is", unhashed(a_byte)),
    "another size": (
        "hashes",
        F,
        None,
        "by the manifest 1",
        unhashed(in_manifest(lambda d: d["files"][F].update(bytes=1))),
    ),
    "a file that is not listed": (
        "hashes",
        F,
        None,
        "the manifest does not list it",
        unhashed(in_manifest(lambda d: d["files"].__delitem__(F))),
    ),
    "a file that is listed only": ("hashes", F, None, "it is not there", unhashed(lambda p: (p / F).unlink())),
    "a run missing": ("grid", PLACE, None, "the run of this cell is missing", lambda p: shutil.rmtree(p / PLACE)),
    "a lag missing": (
        "grid",
        PLACE,
        None,
        "the run of this cell is missing",
        without_lag,
    ),
    "a run twice": ("grid", W, None, f"it is that of {OTHER} too", spec_moved),
    "another seed's policy": ("grid", W, None, "a run counts once", copied_policy),
    "another source": ("source", "algorithm.txt", None, "its SHA-256 is", written("algorithm.txt", "import os\n")),
    "a source that is no text": ("source", "algorithm.txt", None, "not UTF-8", written("algorithm.txt", b"\xff\xff")),
    "no source": ("source", "algorithm.txt", None, "missing", lambda p: (p / "algorithm.txt").unlink()),
    "another budget": ("specification", S, None, "budget is 4096, and in the suite's cell 2048", spec(budget=4096)),
    "another lag": ("specification", S, None, "protocol is", protocol(lag=0)),
    "another seed": ("specification", S, None, "seed is 7", spec(seed=7)),
    "other evaluations": ("specification", S, None, "evaluation is", spec(evaluation={"episodes": 1, "intervals": 2})),
    "an easier task": ("specification", S, None, "task_options is", spec(task_options={"healthy_reward": 100.0})),
    "no suite": ("specification", S, None, "suite is null", spec(suite=None)),
    "a protocol beyond all": ("specification", S, None, "protocol is", protocol(actors=10**18, minibatch=7)),
    "a field too many": ("specification", S, None, "html is no field", spec(html=HTML)),
    "a specification that is a list": ("specification", S, None, "no JSON object", in_json("spec.json", lambda d: [])),
    "a device with markup": ("specification", S, None, "device has a <", spec(device=HTML)),
    "other hyperparameters": (
        "one method",
        S,
        None,
        "learning_rate is 0.1, by the manifest",
        in_json("spec.json", lambda d: d["config"].update(learning_rate=0.1)),
    ),
    "another algorithm": (
        "one method",
        S,
        None,
        "by the manifest 'ppo'",
        in_json("spec.json", lambda d: d["algorithm"].update(name="vaco")),
    ),
    "another algorithm's source": (
        "one method",
        S,
        None,
        "its source has the SHA-256 0000",
        spec(format_version=1, algorithm={"name": "ppo", "sha256": "0" * 64}),
    ),
    "another version": (
        "one method",
        S,
        None,
        "its algorithm is of lagbench 0.0.1, and that of the first run of lagbench ",
        in_json("spec.json", lambda d: d["algorithm"].update(version="0.0.1")),
    ),
    "a failed run": (
        "result",
        R,
        None,
        "status is failed",
        in_json("result.json", lambda d: d.update(status="failed")),
    ),
    "a result edited": ("result", R, None, "its checksum is not", edited),
    "a field in the result": (
        "result",
        R,
        None,
        "must be an object with",
        in_json("result.json", lambda d: d.update(score=9e9)),
    ),
    "a result without a policy": (
        "result",
        R,
        None,
        "files lacks policy",
        in_json("result.json", lambda d: d.update(files={})),
    ),
    "an entry edited": (
        "result",
        V,
        None,
        "entry 0 is not as it was written",
        in_json("environment.json", lambda d: d[0].update(cpu="x")),
    ),
    "no physics": (
        "result",
        V,
        None,
        "must have the versions of lagbench and of EnvPool",
        in_json("environment.json", lambda d: [sealed({**d[0], "packages": {"lagbench": "1"}})]),
    ),
    "a CPU with markup": (
        "result",
        V,
        None,
        "entry 0: cpu has a <",
        in_json("environment.json", lambda d: [sealed({**d[0], "cpu": HTML})]),
    ),
    "an environment that is none": ("result", V, None, "must be a list", in_json("environment.json", lambda d: {})),
    "no Arrow": ("tables", E, None, "not an Arrow IPC file", written("evaluations/data.arrow", "ARROW2")),
    "an empty table": ("tables", P, None, "not an Arrow IPC file", written("phases/data.arrow", "")),
    "an extension type": ("tables", P, None, "extension type", rewritten("phases", extended)),
    "dictionaries": ("tables", E, None, "dictionary batches", rewritten("evaluations", dictionaries)),
    "another type": (
        "tables",
        E,
        None,
        "the column return is float32, and must be float64",
        rewritten("evaluations", retyped("return", pa.float32())),
    ),
    "a column missing": (
        "tables",
        P,
        None,
        "the column ess is missing",
        rewritten("phases", lambda t: t.drop_columns("ess")),
    ),
    "a column too many": (
        "tables",
        P,
        None,
        "is none of the table's",
        rewritten("phases", lambda t: t.append_column(HTML, t["phase"])),
    ),
    "a column twice": (
        "tables",
        P,
        None,
        "there more than once",
        rewritten("phases", lambda t: t.append_column("tv", t["tv"])),
    ),
    "another order of columns": (
        "tables",
        P,
        None,
        "not in the order",
        rewritten("phases", lambda t: t.select(t.column_names[::-1])),
    ),
    "another run's metadata": (
        "tables",
        P,
        None,
        "its metadata's spec is not that of spec.json",
        rewritten("phases", with_metadata(b"spec", b"{}")),
    ),
    "nested metadata": (
        "tables",
        P,
        None,
        "its metadata's spec",
        rewritten("phases", with_metadata(b"spec", DEEP.encode())),
    ),
    "metadata too many": ("tables", P, None, "its metadata has 'x'", rewritten("phases", with_metadata(b"x", b"y"))),
    "a hash left out": (
        "tables",
        E,
        None,
        "left_out must have a hash of each",
        rewritten("evaluations", with_metadata(b"left_out", b"{}")),
    ),
    "a nested hash left out": (
        "tables",
        E,
        None,
        "nested deeper",
        rewritten("evaluations", with_metadata(b"left_out", DEEP.encode())),
    ),
    "a null": ("tables", E, 3, "length has a null", in_table("evaluations", set_to("length", 3, None))),
    "a null inside": ("tables", F, 0, "action has a null", in_final(nested("action", 0, 1, None))),
    "an actor too many": (
        "tables",
        P,
        2,
        "versions has 9 elements",
        in_table("phases", lambda c: c["versions"][2].append(0)),
    ),
    "a metric with markup": (
        "tables",
        P,
        1,
        "the name of a metric has a <",
        in_table("phases", set_to("metrics", 1, [(HTML, 1.0)])),
    ),
    "many metrics": (
        "tables",
        P,
        1,
        "metrics has 1000 elements",
        in_table("phases", set_to("metrics", 1, [(f"m{i}", 1.0) for i in range(1000)])),
    ),
    "rows too many": ("tables", P, None, "rows, and the specification plans 16 at most", in_table("phases", doubled)),
    "rows that the manifest denies": (
        "tables",
        F,
        None,
        "it has 3 rows, by the manifest 4",
        unhashed(in_manifest(lambda d: d["files"][F].update(rows=4))),
    ),
    "another network": (
        "policy",
        W,
        None,
        "has the shape [3, 32]",
        policy(lambda s: s.update({"actor.4.weight": torch.zeros(3, 32)})),
    ),
    "a tensor missing": ("policy", W, None, "the tensor log_std is missing", policy(lambda s: s.pop("log_std"))),
    "a tensor too many": (
        "policy",
        W,
        None,
        "is none of the network's",
        policy(lambda s: s.update({HTML: torch.zeros(1)})),
    ),
    "another type of number": (
        "policy",
        W,
        None,
        "is of type F64, and must be float32",
        policy(lambda s: s.update(log_std=s["log_std"].double())),
    ),
    "a weight that is none": (
        "policy",
        W,
        None,
        "log_std has a value that is not finite",
        policy(lambda s: s["log_std"].fill_(torch.nan)),
    ),
    "an endless header": (
        "policy",
        W,
        None,
        "its header lies outside",
        policy_bytes(lambda h, b: struct.pack("<Q", 2**63) + b),
    ),
    "a nested header": ("policy", W, None, "nested deeper", policy_bytes(lambda h, b: packed(DEEP.encode(), b))),
    "tensors upon another": ("policy", W, None, "and must follow the one before", policy_bytes(moved)),
    "bytes of no tensor": (
        "policy",
        W,
        None,
        "4 bytes that belong to no tensor",
        policy_bytes(lambda h, b: packed(h, b + b"abcd")),
    ),
    "metadata of a policy": (
        "policy",
        W,
        None,
        "it has metadata",
        policy_bytes(lambda h, b: packed({**h, "__metadata__": {}}, b)),
    ),
    "a policy that is none": ("policy", W, None, "no safetensors file", lambda p: change_policy(p / PLACE, b"")),
    "values of no hash": (
        "content hash",
        E,
        None,
        "its content hash is",
        in_json("result.json", lambda d: d["content_hash"].update(evaluations="0" * 64)),
    ),
    "a hash of nothing": (
        "content hash",
        f"{PLACE}/episodes/data.arrow",
        None,
        "its content hash is",
        in_json("result.json", lambda d: d["content_hash"].update(episodes="0" * 64)),
    ),
    "rows that the result denies": (
        "content hash",
        P,
        None,
        "by result.json 15",
        in_json("result.json", lambda d: d["rows"].update(phases=15)),
    ),
    "a better summary": (
        "content hash",
        R,
        None,
        "summary.final is",
        in_json("result.json", lambda d: d["summary"]["final"]["stochastic"].update(mean=9e9)),
    ),
    "a version drawn otherwise": ("staleness draws", P, 9, "drawn", in_table("phases", nested("versions", 9, 0, 0))),
    "a phase left out": ("staleness draws", P, 15, "row is missing", in_table("phases", cut)),
    "more updates": ("updates", P, 4, "99 updates, of 8 allowed", in_table("phases", set_to("updates", 4, 99))),
    "another evaluation seed": ("evaluation plan", E, 1, "seed is 5", in_table("evaluations", set_to("seed", 1, 5))),
    "an evaluation left out": ("evaluation plan", E, 14, "row is missing", in_table("evaluations", cut)),
    "an endless return": (
        "numbers",
        E,
        2,
        "return is not a finite number",
        in_table("evaluations", set_to("return", 2, INF)),
    ),
    "a return of NaN": (
        "numbers",
        E,
        2,
        "return is not a finite number",
        in_table("evaluations", set_to("return", 2, NAN)),
    ),
    "no return": ("tables", E, 2, "return has a null", in_table("evaluations", set_to("return", 2, None))),
    "a measurement of NaN": ("numbers", P, 15, "tv is not a finite number", in_table("phases", set_to("tv", 15, NAN))),
    "no measurement": ("numbers", P, 3, "kl is missing", in_table("phases", set_to("kl", 3, None))),
    "an action of NaN": (
        "numbers",
        F,
        0,
        "action is not a finite number",
        in_final(lambda c: c["action"][0][0].__setitem__(0, NAN)),
    ),
    "another return in one": ("final episodes", F, 0, "return is", in_final(better)),
    "an episode left out": ("final episodes", F, 2, "the row is missing", in_final(cut)),
    "an altered reward": ("returns", F, 0, "summed", in_final(nested("reward", 0, 2, 50.0))),
    "an altered return": ("returns", F, 1, "return is 1000000.0, summed", in_both(set_to("return", 1, 1e6))),
    "another length": ("returns", F, 0, "length is 2, summed", in_both(set_to("length", 0, 2))),
    "an episode beyond the limit": (
        "returns",
        E,
        4,
        "an episode has 1 to 1,000 steps",
        in_table("evaluations", set_to("length", 4, 5000)),
    ),
    "an episode that does not end": ("returns", E, 10, "both false", in_both(set_to("terminated", 0, False))),
    "cut before its time": (
        "returns",
        E,
        0,
        "an episode is cut after 1,000",
        in_table("evaluations", lambda c: (set_to("truncated", 0, True)(c), set_to("terminated", 0, False)(c))),
    ),
}


def test_every_check_has_an_attack() -> None:
    assert {check for check, *_ in ATTACKS.values()} == {check.name for check in CHECKS}


def test_what_is_whole_is_valid(whole: Submission) -> None:
    found = validate(whole.path)
    assert (found.passed, found.problems) == (True, ())
    assert set(found.outcomes.values()) == {"ok"}
    assert found.submission == whole
    assert found.to_json()["submission"] == whole.sha256
    suite = load_suite("TESTING")
    table = found.table
    assert table is not None
    assert set(table["path"].to_pylist()) == {run.name for run in whole.runs()}
    assert len(table) == len(list(suite.cells()))
    for path, final in zip(*(table[name].to_pylist() for name in ("path", "final")), strict=True):
        (run,) = [run for run in whole.runs() if run.name == path]
        assert final == np.mean([summed(episode.reward) for episode in run.final_episodes()])


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_found(whole: Submission, tmp_path: Path, name: str) -> None:
    check, file, row, message, attack = ATTACKS[name]
    path = copied(whole, tmp_path)
    attack(path)
    if not attack.__dict__.get("unhashed"):
        hash_again(path)
    found = validate(path)
    assert not found.passed
    assert found.table is None
    assert found.outcomes[check] == "failed"
    there = [p for p in found.problems if (p.check, p.file, p.row) == (check, file, row) and message in p.message]
    assert there, found.problems
    for problem in found.problems:
        assert str(problem).isprintable(), problem
        assert "cannot be checked" not in problem.message, problem


def test_every_problem_is_listed(whole: Submission, tmp_path: Path) -> None:
    path = copied(whole, tmp_path)
    for at, check in (("another budget", "specification"), ("a pickle", "files"), ("another source", "source")):
        ATTACKS[at][-1](path)
        assert check == ATTACKS[at][0]

    def lower(columns: Columns) -> None:
        columns["return"] = [value - 1 for value in columns["return"]]
        columns["seed"][0] += 1

    change_table(path / OTHER, "evaluations", lower)
    hash_again(path)
    found = validate(path)
    assert {p.check for p in found.problems} == {
        "files", "source", "specification", "content hash", "evaluation plan", "final episodes",
    }  # fmt: skip
    assert [p.row for p in found.problems if p.check == "final episodes"] == [0, 1, 2]
    # Of the run at PLACE nothing more could be said.
    assert {name for name, outcome in found.outcomes.items() if outcome == "skipped"} == {
        "one method", "result", "tables", "policy", "staleness draws", "updates", "numbers", "returns",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("FILES", 20, "it has more than 20 files and directories"),
        ("TOTAL_BYTES", 1000, "and 1,000 are allowed"),
        ("FILE_BYTES", 1000, "and 1,000 are allowed"),
        ("PATH_LENGTH", 20, "its path is longer than 20 characters"),
    ],
)
def test_what_exceeds_a_limit(
    whole: Submission, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, message: str
) -> None:
    monkeypatch.setattr(limits, limit, value)
    found = validate(whole.path)
    assert [p for p in found.problems if p.check == "files" and message in p.message]


def test_a_directory_that_is_none(tmp_path: Path, whole: Submission) -> None:
    (tmp_path / "link").symlink_to(whole.path)
    (tmp_path / "A b").mkdir()
    for path, message in (("none", "no such directory"), ("link", "symbolic link"), ("A b", "its name must be")):
        found = validate(tmp_path / path)
        assert [message in p.message for p in found.problems] == [True]
        assert set(found.outcomes.values()) == {"failed", "skipped"}


def test_a_run_that_diverged_has_no_final_episodes(whole: Submission, tmp_path: Path) -> None:
    path = copied(whole, tmp_path)
    run = path / PLACE
    (run / "final.arrow").unlink()

    def stop(columns: Columns, rows: int) -> None:
        for name in columns:
            del columns[name][rows:]

    def last(columns: Columns) -> None:
        stop(columns, 12)
        columns["tv"][-1] = None
        columns["kl"][-1] = INF

    change_table(run, "phases", last)
    change_table(run, "evaluations", lambda columns: stop(columns, 10))
    result = json.loads((run / "result.json").read_text())
    summary = {"phases": 12, "budget_used": 12 * 128, "diverged": {"what": "the loss"}}
    write_result(run, {**result, "status": "diverged", "summary": summary})
    hash_again(path)
    found = validate(path)
    assert not found.problems
    assert found.table is not None
    assert sorted(found.table["status"].to_pylist()) == ["completed"] * 7 + ["diverged"]
    change_table(run, "phases", set_to("kl", 10, INF))
    hash_again(path)
    (problem,) = validate(path).problems
    assert (problem.check, problem.row) == ("numbers", 10)


def test_no_exception_comes_of_it(whole: Submission, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a check does with a file that nobody thought of."""

    def broken(*_: Any) -> Any:
        raise RuntimeError("boom \x1b[31m")
        yield

    for module, name, check in (
        ("plans", "draws", "staleness draws"),
        ("tables", "check", "tables"),
        ("files", "names", "files"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"lagbench.leaderboard.checks.{module}.{name}", broken)
            found = validate(whole.path)
            assert found.outcomes[check] == "failed"
            assert r"it cannot be checked (RuntimeError: boom \x1b[31m)" in {p.message for p in found.problems}
    monkeypatch.setattr("lagbench.leaderboard.checks.files.listed", lambda _: 1 / 0)
    found = validate(whole.path)
    assert (found.passed, found.submission) == (False, None)


def test_the_list_of_problems_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROBLEMS", 3)
    findings = Findings()
    taken = iter(range(100))
    assert not findings.take("updates", "f", (Problem("updates", "f", i, "m") for i in taken))
    assert [problem.row for problem in findings.problems] == [0, 1, 2, None]
    assert "no more is listed" in findings.problems[-1].message
    assert next(taken) == 4


def test_a_problem_says_where() -> None:
    problem = Problem("numbers", "runs/x/final.arrow", 3, "reward is missing")
    assert str(problem) == "numbers: runs/x/final.arrow, row 3: reward is missing"
    assert Problem("files", ".", None, "m").to_json() == {"check": "files", "file": ".", "row": None, "message": "m"}


def test_names_of_checks_are_plain() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(re.fullmatch("[a-z ]+", check.name) and check.about.endswith(".") for check in CHECKS)
