"""The expected shape of a run's records, from its specification alone."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any

from lagbench import diagnostics
from lagbench.records.schema import schemas
from lagbench.spec import RunSpec
from lagbench.tasks.spec import TaskSpec, load_task

Layout = Mapping[str, tuple[tuple[int, ...], str]]
"""Tensors by name: shape, and torch dtype (``float32``)."""


def task(spec: RunSpec) -> TaskSpec:
    """The task of a specification.

    Args:
        spec: of a run.

    Returns:
        The task, loaded once per process.
    """
    return _task(spec.task, json.dumps(dict(spec.task_options)))


def tables(spec: RunSpec) -> dict[str, Any]:
    """The pyarrow schemas of the tables that a run writes, metadata included.

    Args:
        spec: of the run.

    Returns:
        Schemas by table.
    """
    return schemas(spec, **sizes(spec))


def sizes(spec: RunSpec) -> dict[str, Any]:
    """The sizes that determine the columns of a run's tables.

    Args:
        spec: of the run.

    Returns:
        The keyword arguments that ``RunWriter`` takes.
    """
    return {**task(spec).record_sizes, "diagnostics": diagnostics.names(spec.domain, spec.is_asynchronous)}


def policy(spec: RunSpec) -> Layout:
    """The tensors of a run's policy file.

    Args:
        spec: of the run.

    Returns:
        Shape and type by name.

    Raises:
        UsageError: a required model is not available.
    """
    return _layout(json.dumps(dataclasses.replace(spec, seed=0).to_json(), sort_keys=True))


def longest_episode(spec: RunSpec) -> int:
    """The maximum length of an episode.

    Args:
        spec: of a run.

    Returns:
        Environment steps; tokens on language.
    """
    return task(spec).longest_episode


@functools.cache
def _task(task: str, options: str) -> TaskSpec:
    return load_task(task, json.loads(options))


@functools.cache
def _layout(spec: str) -> Layout:
    state = RunSpec.from_json(json.loads(spec)).network().state_dict()
    return {name: (tuple(value.shape), str(value.dtype).removeprefix("torch.")) for name, value in state.items()}
