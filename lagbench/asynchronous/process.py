"""An actor process: repeatedly fetches the newest policy version, collects a segment and queues it."""

from __future__ import annotations

import functools
import io
import pickle
import time
from collections.abc import Mapping, Sequence
from typing import Any

from lagbench.asynchronous.exchange import Segment
from lagbench.registry import load
from lagbench.rollout import COLLECTED, Rollout
from lagbench.settings import own_settings
from lagbench.source.files import Source
from lagbench.source.known import remember
from lagbench.spec import RunSpec


def part_of(spec: RunSpec, process: int) -> range:
    """The actors of a process: equal shares, in order."""
    share = spec.protocol.actors // spec.protocol.lag_options["actor_processes"]
    return range(process * share, (process + 1) * share)


def packed(share: Any, state: Mapping[str, Any]) -> bytes:
    """``Segment.content``: the result of ``Actors.act`` and the actors' state after it, pickled."""
    content = io.BytesIO()
    _Pickler(content, pickle.HIGHEST_PROTOCOL).dump((share, state))
    return content.getvalue()


class _Pickler(pickle.Pickler):
    """Pickles only the collected fields of a rollout."""

    def reducer_override(self, x: Any) -> Any:
        if not isinstance(x, Rollout):
            return NotImplemented
        return functools.partial(Rollout, **{name: getattr(x, name) for name in COLLECTED}), ()


def act(
    exchange: Any,
    spec: Mapping[str, Any],
    sources: Sequence[Source],
    process: int,
    threads: int,
    life: int,
    first: int,
    state: Mapping[str, Any] | None,
) -> None:
    """The task of a process: collect segments from number ``first`` on, until the end of the run.

    ``state`` is the actors' state after the segment before.
    """
    import ray

    for source in sources:
        remember(source)
    run = RunSpec.from_json(spec)
    with own_settings(run.torch_threads):
        actors = load(run.domain.actors_class)(run, threads or 1, part_of(run, process))
        if state is not None:
            actors.restore(state)
        blocked = 0.0
        for number in range(first, run.phases):
            began = time.monotonic()
            version, (reference,) = ray.get(exchange.newest.remote())
            weights = ray.get(reference)
            fetched = time.monotonic()
            content = packed(actors.act([weights] * len(part_of(run, process)), number), actors.state())
            acted = time.monotonic()
            seconds = {"acting": acted - fetched, "blocked": blocked, "fetching": fetched - began}
            if not ray.get(exchange.put.remote(process, life, Segment(number, version, content, seconds))):
                return
            blocked = time.monotonic() - acted
