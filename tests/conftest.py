"""What holds for all tests."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from scripts.browser import HELP, find

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# One thread a worker and a subprocess: the tests run side by side. It counts only before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A Ray of this process's own leaves a token in the user's home, with which each later cluster asks for one.
os.environ["RAY_AUTH_MODE"] = "disabled"

# No deadline, for a busy machine is no failure; the same examples every time, so that a failure is found again.
settings.register_profile("lagbench", deadline=None, derandomize=True)
settings.load_profile("lagbench")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser that `make test` sees to."""
    from playwright.sync_api import sync_playwright

    path = find()
    assert path is not None, HELP
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path)
        yield opened
        opened.close()


@pytest.fixture(scope="session", autouse=True)
def _remembered_warm_ups() -> Iterator[None]:
    """A warm-up follows from task and seed and takes longer than a run as small as these: each is simulated once.

    tests/actors/test_control.py, which is of warm-ups too, simulates them all.
    """
    from lagbench.actors import control
    from lagbench.tasks.mujoco import EnvPoolTask

    simulated, known = control.warm_up, {}

    @functools.wraps(simulated)
    def warm_up(task: Any, seed: int, threads: int) -> Any:
        if not isinstance(task, EnvPoolTask):
            return simulated(task, seed, threads)
        key = task.identity, seed, control.WARMUP_ACTORS, control.WARMUP_STEPS
        if key not in known:
            known[key] = simulated(task, seed, threads)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control, "warm_up", warm_up)
        yield


@pytest.fixture(scope="module")
def small_warm_up() -> Iterator[None]:
    """For runs of many seeds or of tasks that are stepped slowly."""
    from lagbench.actors import control

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control, "WARMUP_ACTORS", 8)
        patch.setattr(control, "WARMUP_STEPS", 16)
        yield


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str, str], None]]:
    """Install a distribution of one module, version 1.0: its name, the module's text and the entry points."""
    from lagbench import registry

    def installed(name: str, text: str, entry_points: str) -> None:
        about = tmp_path / f"installed/{name}-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(entry_points)
        (tmp_path / f"installed/{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path / "installed")
        monkeypatch.delitem(sys.modules, name, raising=False)
        registry._entries.cache_clear()

    yield installed
    registry._entries.cache_clear()
