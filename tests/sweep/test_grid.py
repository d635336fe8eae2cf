"""The grid: what options multiply out to, where each cell lies, and what cannot be swept together."""

import json
from datetime import date
from pathlib import Path

import pytest

from lagbench import suites
from lagbench.errors import UsageError
from lagbench.sweep.cells import Planned, look
from lagbench.sweep.grid import plan
from lagbench.tasks.gsm8k import task
from tests.cli.run_here import ALGORITHMS
from tests.tasks.gsm8k.tiny import CHAT, make_data, make_model

OUT = Path("out")


def paths(cells: list[Planned]) -> list[str]:
    return [str(cell.path.relative_to(OUT)) for cell in cells]


def test_axes_are_multiplied_out_seed_by_seed() -> None:
    cells = plan(
        OUT,
        algo=["ppo", "vaco"],
        task=["Hopper-v5", "Walker2d-v5"],
        lag=[0, 16],
        updates=[8],
        seeds=[3, 4],
        budget=4096,
        record="episodes",
    )
    assert len(cells) == 16
    assert paths(cells)[:5] == [
        "Hopper-v5/ppo/lag0-u8-seed3",
        "Hopper-v5/ppo/lag16-u8-seed3",
        "Hopper-v5/vaco/lag0-u8-seed3",
        "Hopper-v5/vaco/lag16-u8-seed3",
        "Walker2d-v5/ppo/lag0-u8-seed3",
    ]
    last = cells[-1]
    assert last.path == OUT / "Walker2d-v5/vaco/lag16-u8-seed4"
    assert last.spec == suites.resolve(
        algo="vaco", task="Walker2d-v5", lag=16, updates=8, seed=4, budget=4096, record="episodes"
    )
    assert suites.resolve(**last.options) == last.spec


def test_what_is_not_given_is_the_default_of_a_run() -> None:
    (cell,) = plan(OUT, algo=["ppo"])
    assert cell.spec == suites.resolve()
    assert paths([cell]) == ["Hopper-v5/ppo/lag0-u80-seed0"]


def test_one_value_is_an_axis_of_one() -> None:
    (several,) = plan(OUT, algo=["vaco"], task=["Hopper-v5"], lag=[4], seeds=[2], config={"delta": [0.1]})
    (one,) = plan(OUT, algo="vaco", task="Hopper-v5", lag=4, seeds=2, config={"delta": 0.1})
    assert (one.path, one.spec) == (several.path, several.spec)


def test_hyperparameters_are_axes_and_name_the_directory() -> None:
    cells = plan(OUT, algo=["vaco"], config={"learning_rate": ["1e-3"], "delta": ["0.1", ".2"], "filter": ["no"]})
    assert paths(cells) == [
        "Hopper-v5/vaco/delta=0.1,filter=false,learning_rate=0.001/lag0-u80-seed0",
        "Hopper-v5/vaco/delta=0.2,filter=false,learning_rate=0.001/lag0-u80-seed0",
    ]
    assert [cell.spec.config["delta"] for cell in cells] == [0.1, 0.2]
    # One value in two spellings is one cell.
    assert len(plan(OUT, algo=["vaco"], config={"delta": ["0.1", ".10"]})) == 1


def test_a_sweep_has_the_date_of_its_first_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the prompt says it: what is missing of a sweep is run on another day as on that one."""
    chat = "{{ strftime_now('%d %b %Y') }}" + CHAT
    options = {
        "data": str(make_data(tmp_path / "data")),
        "model": str(make_model(tmp_path / "model", chat=chat, context=512)),
    }

    def planned(day: int, seeds: int, **more: str) -> list[Planned]:
        monkeypatch.setattr(task, "_today", lambda: date(2026, 3, day))
        given = {**options, **more}
        return plan(tmp_path, algo="ppo", task="GSM8k-v0", seeds=range(seeds), task_options=given, eval_episodes=2)

    (first,) = planned(4, 1)
    assert first.spec.task_options["date"] == first.options["task_options"]["date"] == "2026-03-04"
    assert planned(5, 1)[0].spec.task_options["date"] == "2026-03-05"
    first.path.mkdir(parents=True)
    (first.path / "spec.json").write_text(json.dumps(first.spec.to_json()))
    assert [cell.spec.task_options["date"] for cell in planned(5, 2)] == ["2026-03-04"] * 2
    assert [look(cell).status for cell in planned(5, 2)] == ["unfinished", "missing"]
    assert planned(5, 1, date="2026-03-06")[0].spec.task_options["date"] == "2026-03-06"


def test_a_suite_is_swept_whole_or_in_part() -> None:
    suite = suites.load("TESTING")
    whole = plan(OUT, algo=["ppo"], suite="TESTING", record="episodes")
    assert len(whole) == 8
    cells = {(c.task, c.protocol, c.seed) for c in suite.cells()}
    assert {(c.spec.task, c.spec.protocol, c.spec.seed) for c in whole} == cells
    assert all(cell.spec.suite == suite.runs for cell in whole)
    part = plan(OUT, algo=["ppo"], suite="TESTING", task=["Hopper-v5"], lag=[2], seeds=[1], config={"clip": ["0.1"]})
    assert paths(part) == ["Hopper-v5/ppo/clip=0.1/lag2-u8-seed1"]
    # A forward suite varies the updates.
    forward = plan(OUT, algo=["ppo"], suite="mujoco-reuse-mini-v1", task=["Hopper-v5"], seeds=[0])
    assert [cell.spec.protocol.updates for cell in forward] == [8, 40, 80, 160]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"suite": "TESTING", "seeds": [2]}, "TESTING has the seeds 0-1, not 2"),
        ({"suite": "TESTING", "updates": [16]}, "updates is 8 in TESTING and cannot be 16"),
        ({"task": ["Hoper-v5"]}, "unknown task 'Hoper-v5'; did you mean 'Hopper-v5'?"),
        ({"config": {"delta": ["0.1", "much"]}, "algo": ["vaco"]}, "delta must be a number at least 0, not 'much'"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is(options: dict[str, object], says: str) -> None:
    given: dict[str, object] = {"algo": ["ppo"], **options}
    with pytest.raises(UsageError, match=says):
        plan(OUT, **given)  # type: ignore[arg-type]


def test_two_cells_do_not_share_a_directory(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(ALGORITHMS)
    mine = [f"{tmp_path}/{name}.py:Mine" for name in ("a", "b")]
    with pytest.raises(
        UsageError, match=r"a\.py:Mine and .*b\.py:Mine would share the directory out/Hopper-v5/Mine/lag0"
    ):
        plan(OUT, algo=mine)
