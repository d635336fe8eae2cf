"""lagbench: policy lag as a controlled variable.

Public names are resolved on first use: importing lagbench does not import torch, EnvPool or pyarrow. It does register
``lagbench/…`` with Gymnasium.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lagbench.tasks.registration import register as _register_with_gymnasium

if TYPE_CHECKING:
    from lagbench.actors.base import Played as Played
    from lagbench.algorithm import Algorithm as Algorithm
    from lagbench.config import Range as Range
    from lagbench.errors import LagbenchError as LagbenchError
    from lagbench.errors import UsageError as UsageError
    from lagbench.evaluation import evaluate as evaluate
    from lagbench.evaluation import summarize as summarize
    from lagbench.phase import Metrics as Metrics
    from lagbench.phase import Phase as Phase
    from lagbench.policies.base import Policy as Policy
    from lagbench.policies.base import PolicyOutput as PolicyOutput
    from lagbench.protocol import Protocol as Protocol
    from lagbench.published import load_policy as load_policy
    from lagbench.published import results as results
    from lagbench.records.reader import Run as Run
    from lagbench.records.reader import open_run as _open_run
    from lagbench.records.replay import ReplayReport as ReplayReport
    from lagbench.records.replay import replay as replay
    from lagbench.rollout import Rollout as Rollout
    from lagbench.runner import run as run
    from lagbench.seeding import drawn as _drawn_seeds
    from lagbench.sinks.base import Sink as Sink
    from lagbench.source.files import Source as Source
    from lagbench.source.imports import collect_copy as collect_copy
    from lagbench.spec import RunSpec as RunSpec
    from lagbench.suites import Suite as Suite
    from lagbench.suites import load as _load_suite
    from lagbench.suites import names as _suite_names
    from lagbench.suites import resolve as resolve
    from lagbench.sweep.cells import Planned as Planned
    from lagbench.sweep.driver import CellOutcome as CellOutcome
    from lagbench.sweep.driver import make_executor as make_executor
    from lagbench.sweep.driver import run_grid as run_grid
    from lagbench.sweep.grid import plan as _plan_grid
    from lagbench.tasks.registration import register_task as register_task
    from lagbench.training import PhaseResult as PhaseResult
    from lagbench.training import train as train

    drawn_seeds = _drawn_seeds
    open = _open_run
    load_suite = _load_suite
    suite_names = _suite_names
    plan_grid = _plan_grid

_PUBLIC = {
    "Algorithm": "algorithm",
    "Metrics": "phase",
    "PolicyOutput": "policies.base",
    "LagbenchError": "errors",
    "Phase": "phase",
    "Played": "actors.base",
    "PhaseResult": "training",
    "Policy": "policies.base",
    "Protocol": "protocol",
    "Range": "config",
    "Rollout": "rollout",
    "RunSpec": "spec",
    "Sink": "sinks.base",
    "Source": "source.files",
    "Suite": "suites",
    "UsageError": "errors",
    "cli": "",
    "collect_copy": "source.imports",
    "divergence": "",
    "estimators": "",
    "evaluate": "evaluation",
    "records": "",
    "ReplayReport": "records.replay",
    "Run": "records.reader",
    "open": "records.reader",
    "load_policy": "published",
    "register_task": "tasks.registration",
    "replay": "records.replay",
    "load_suite": "suites",
    "machine": "",
    "make_executor": "sweep.driver",
    "Planned": "sweep.cells",
    "drawn_seeds": "seeding",
    "CellOutcome": "sweep.driver",
    "plan_grid": "sweep.grid",
    "resolve": "suites",
    "results": "published",
    "suite_names": "suites",
    "run": "runner",
    "run_grid": "sweep.driver",
    "scoring": "",
    "summarize": "evaluation",
    "train": "training",
}
_NAMES = {"drawn_seeds": "drawn", "open": "open_run", "load_suite": "load", "plan_grid": "plan", "suite_names": "names"}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'lagbench' has no attribute {name!r}")
    module = _PUBLIC[name]
    if not module:
        return importlib.import_module(f"lagbench.{name}")
    value = getattr(importlib.import_module(f"lagbench.{module}"), _NAMES.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})


_register_with_gymnasium()
