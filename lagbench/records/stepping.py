"""Step recorded episodes again in EnvPool and compare them with the record bit for bit."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lagbench.records.episodes import EvaluationEpisode, as_numpy, malformed, wrong_return
from lagbench.records.findings import Difference, differs, element
from lagbench.records.reader import Run
from lagbench.records.replaying import Told
from lagbench.seeding import Stream, environment_seeds
from lagbench.tasks.control import ControlTask

# Episodes stepped together: few enough to limit memory, enough to keep EnvPool's threads busy.
_TOGETHER = 32
TOLERANCE = 1e-3
AGREEING = 25
"""Steps for which simulations that differ in their last bits agree within TOLERANCE, at least.

Measured on trained policies: actions that differ in their last bits change no reward of Hopper by 1e-4 within 1,000
steps, and those of HalfCheetah, which tumbles, after 57 steps at the earliest; by 1e-9 (relative), after 28.
"""


@dataclass(frozen=True)
class Stepped:
    """The result: numbers of episodes and steps, the first difference, and observations [length, obs] by episode index.

    ``inexact`` counts episodes that match within a tolerance only; their observations are those of the compared steps.
    """

    episodes: int
    steps: int
    difference: Difference | None
    inexact: int = 0
    seen: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)


def step_evaluations(
    task: ControlTask,
    episodes: Sequence[EvaluationEpisode],
    threads: int,
    told: Told,
    keep: Collection[int] = (),
    *,
    exact: bool = True,
) -> Stepped:
    """Step evaluation episodes again, each from its recorded seed with its recorded actions.

    ``keep`` are the indices of episodes whose observations are returned. Without ``exact``, episodes that differ are
    compared within TOLERANCE over their first AGREEING steps. Returns must be the sums of rewards in any case.
    """
    first = {i: wrong for i, e in enumerate(episodes) if (wrong := malformed(e) or _impossible(task, e))}
    seen: dict[int, NDArray[np.float64]] = {}
    wanted, inexact = frozenset(keep), 0
    # Sorted by length, so that few environments wait for others to end.
    whole = sorted(set(range(len(episodes))) - first.keys(), key=lambda i: (episodes[i].length, i))
    for at in range(0, len(whole), _TOGETHER):
        indices = whole[at : at + _TOGETHER]
        batch = _Batch(task, [episodes[i] for i in indices], threads, told)
        for j, i in enumerate(indices):
            compared = episodes[i].length
            difference = batch.difference(j)
            if difference and not exact:
                inexact, compared = inexact + 1, min(compared, AGREEING)
                difference = batch.difference(j, compared, TOLERANCE)
            if difference := difference or wrong_return(episodes[i]):
                first[i] = difference
            if i in wanted:
                seen[i] = batch.observation[:compared, j].copy()
    return Stepped(
        episodes=len(whole),
        steps=sum(episodes[i].length for i in whole),
        difference=first[min(first)] if first else None,
        inexact=inexact,
        seen=seen,
    )


def _impossible(task: ControlTask, episode: EvaluationEpisode) -> Difference | None:
    """The first action of an episode that is outside the task's discrete action space."""
    if not len(wrong := task.impossible(episode.action)):
        return None
    step = int(wrong[0])
    where = {**episode.name, "step": step}
    return Difference("evaluations", where, "action", int(episode.action[step]), str(task.action_space), "specified")


class _Batch:
    """Episodes stepped together until the longest ends."""

    def __init__(self, task: ControlTask, episodes: Sequence[EvaluationEpisode], threads: int, told: Told) -> None:
        self._episodes = episodes
        shape = max(e.length for e in episodes), len(episodes)
        action = task.actions(*shape)
        for j, episode in enumerate(episodes):
            action[: episode.length, j] = episode.action
        self.observation = np.empty((*shape, *task.observation_space.shape), np.float64)
        self._reward = np.empty(shape, np.float32)
        self._flags = np.empty((2, *shape), np.bool_)
        env = task.make([e.seed for e in episodes], threads)
        observation, _ = env.reset()
        for t in range(shape[0]):
            self.observation[t] = observation
            observation, self._reward[t], self._flags[0, t], self._flags[1, t], _ = env.step(action[t])
            told(sum(e.length > t for e in episodes))
        env.close()

    def difference(self, j: int, steps: int | None = None, tolerance: float | None = None) -> Difference | None:
        """The first difference in the first ``steps`` of episode ``j``; with a ``tolerance``, the first beyond it."""
        episode = self._episodes[j]
        n = episode.length
        flags = np.zeros((2, n), np.bool_)
        flags[:, -1] = episode.terminated, episode.truncated
        columns = {
            "reward": (episode.reward, self._reward[:n, j]),
            "terminated": (flags[0], self._flags[0, :n, j]),
            "truncated": (flags[1], self._flags[1, :n, j]),
        }
        if episode.observation is not None and tolerance is None:
            columns = {"observation": (episode.observation, self.observation[:n, j]), **columns}
        found = _first({name: _apart(a[:steps], b[:steps], tolerance) for name, (a, b) in columns.items()})
        if found is None:
            return None
        step, name = found
        where = {**episode.name, "step": step}
        recorded, replayed = columns[name]
        return element("evaluations", where, name, np.asarray(recorded[step]), np.asarray(replayed[step]), "replayed")


def _apart(recorded: NDArray[Any], replayed: NDArray[Any], tolerance: float | None) -> NDArray[np.bool_]:
    """Elementwise, whether two arrays differ: in any bit, or by more than ``tolerance``."""
    if tolerance is None or recorded.dtype.kind != "f":
        return differs(recorded, replayed)
    return np.asarray(~np.isclose(recorded, replayed, rtol=tolerance, atol=tolerance))


def _first(different: dict[str, NDArray[np.bool_]]) -> tuple[int, str] | None:
    """The first row in which any column differs, and the first such column."""
    rows = {name: found.reshape(len(found), -1).any(axis=1) for name, found in different.items()}
    firsts = {name: int(np.argmax(found)) for name, found in rows.items() if found.any()}
    if not firsts:
        return None
    name = min(firsts, key=firsts.__getitem__)
    return firsts[name], name


_ROW = ("episode_id", "step", "actor", "observation", "action", "reward", "terminated", "truncated")
_COMPARED = ("observation", "reward", "terminated", "truncated")


def step_training(run: Run, task: ControlTask, phases: int, threads: int, told: Told) -> Stepped:
    """Step the training episodes of a run's first ``phases`` again, all actors together from the start.

    Each episode thus starts from its (seed, reset). Open episodes are stepped as far as they are recorded.
    """
    stepper = _Training(run, task, phases, threads, told)
    for batch in run.read("trajectories"):
        if difference := stepper.take(batch):
            return Stepped(stepper.episodes, stepper.steps, difference)
    return Stepped(stepper.episodes, stepper.steps, stepper.end())


class _Training:
    """The actors of a run, stepped together: at each tick every actor has its next row or a reset."""

    def __init__(self, run: Run, task: ControlTask, phases: int, threads: int, told: Told) -> None:
        protocol = run.spec.protocol
        self._n = protocol.actors
        self._left = phases * protocol.phase_steps
        self._task = task
        self._told = told
        self._env = task.make(environment_seeds(run.spec.seed, Stream.ENVIRONMENT, self._n).tolist(), threads)
        self._observation, _ = self._env.reset()
        self._resetting = np.zeros(self._n, np.bool_)
        self._rows: dict[str, NDArray[Any]] | None = None
        self._shortest = 0
        self.steps = self.episodes = 0

    def take(self, batch: Any) -> Difference | None:
        """Step as far as this batch and the rows left over provide rows for all actors."""
        new = {name: as_numpy(batch.column(name)) for name in _ROW}
        new["final"] = _final(batch.column("final_observation"), self._task.observation_space.shape[0])
        if len(wrong := self._task.impossible(new["action"])):
            i = int(wrong[0])
            there = str(self._task.action_space)
            return Difference("trajectories", _where(new, i), "action", int(new["action"][i]), there, "specified")
        rows = new if self._rows is None else {k: np.concatenate([v, new[k]]) for k, v in self._rows.items()}
        grid, own = self._schedule(rows)
        ticks = min(int(own.min()), self._left)
        difference = self._step(rows, grid[:ticks]) if ticks else None
        later = np.sort(grid[ticks:][grid[ticks:] >= 0])
        self._rows = {name: values[later] for name, values in rows.items()}
        self._resetting = (own > ticks) & (grid[ticks] < 0)
        self._left -= ticks
        self._shortest = int(own.argmin())
        return difference

    def _schedule(self, rows: dict[str, NDArray[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Each actor's row at each tick [ticks, N], −1 for a reset; and the ticks [N] that each actor's rows cover."""
        done = rows["terminated"] | rows["truncated"]
        order = np.argsort(rows["actor"], kind="stable")
        bounds = np.searchsorted(rows["actor"][order], np.arange(self._n + 1))
        ticks = []
        for i in range(self._n):
            mine = order[bounds[i] : bounds[i + 1]]
            before = np.cumsum(done[mine]) - done[mine] + self._resetting[i]
            ticks.append((mine, np.arange(len(mine)) + before, len(mine) + int(done[mine].sum()) + self._resetting[i]))
        own = np.array([length for *_, length in ticks], np.int64)
        grid = np.full((int(own.max()) + 1, self._n), -1, np.int64)
        for i, (mine, at, _) in enumerate(ticks):
            grid[at, i] = mine
        return grid, own

    def _step(self, rows: dict[str, NDArray[Any]], grid: NDArray[np.int64]) -> Difference | None:
        seen = np.empty((len(grid) + 1, *self._observation.shape), np.float64)
        reward = np.empty(grid.shape, np.float32)
        flags = np.empty((2, *grid.shape), np.bool_)
        seen[0] = self._observation
        for t, row in enumerate(grid):
            action = rows["action"].take(row, axis=0)
            seen[t + 1], reward[t], flags[0, t], flags[1, t], _ = self._env.step(action)
            self._told(int((row >= 0).sum()))
        self._observation = seen[-1]
        at, actor = np.nonzero(grid >= 0)
        row = grid[at, actor]
        by_row = np.argsort(row)
        at, actor, row = at[by_row], actor[by_row], row[by_row]
        recorded = {name: rows[name][row] for name in (*_COMPARED, "final")}
        replayed = {
            "observation": seen[at, actor],
            "reward": reward[at, actor],
            "terminated": flags[0, at, actor],
            "truncated": flags[1, at, actor],
        }
        done = replayed["terminated"] | replayed["truncated"]
        replayed["final"] = np.where(done[:, None], seen[at + 1, actor], np.nan)
        self.steps += len(row)
        self.episodes += int(done.sum())
        found = _first({name: differs(recorded[name], replayed[name]) for name in replayed})
        if found is None:
            return None
        i, name = found
        column = {"final": "final_observation"}.get(name, name)
        pair = np.asarray(recorded[name][i]), np.asarray(replayed[name][i])
        return element("trajectories", _where(rows, int(row[i])), column, *pair, "replayed")

    def end(self) -> Difference | None:
        """The difference if an actor has fewer or more rows than its phases, or None."""
        self._env.close()
        if self._left:
            missing = f"missing in the last {self._left} steps"
            return Difference("trajectories", {"actor": self._shortest}, "rows", missing, "complete", "specified")
        if self._rows is not None and len(self._rows["step"]):
            where = _where(self._rows, 0)
            return Difference("trajectories", where, "actor", int(self._rows["actor"][0]), "no further row", "replayed")
        return None


def _where(rows: dict[str, NDArray[Any]], i: int) -> dict[str, Any]:
    return {"episode_id": int(rows["episode_id"][i]), "step": int(rows["step"][i])}


def _final(column: Any, size: int) -> NDArray[np.float64]:
    """Final observations [n, size], NaN in rows without one of that size."""
    there = np.asarray(column.is_valid())
    there[there] = np.diff(np.asarray(column.drop_null().offsets)) == size
    final = np.full((len(there), size), np.nan)
    final[there] = column.filter(pa.array(there)).flatten().to_numpy().reshape(-1, size)
    return final
