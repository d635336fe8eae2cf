"""The queue between actors and learner: bounded, in order, one of each; a life that was replaced hands nothing in."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lagbench.asynchronous.exchange import Exchange, Segment


def segment(number: int, version: int = 0) -> Segment:
    return Segment(number, version, f"after {number}".encode(), {})


async def waits(task: asyncio.Task[Any]) -> bool:
    """Whether it does not end by itself."""
    for _ in range(10):
        await asyncio.sleep(0)
    return not task.done()


def run(story: Coroutine[Any, Any, None]) -> None:
    # In a thread of its own: a browser's tests leave their loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, story).result()


def test_the_learner_takes_one_of_each_in_their_order() -> None:
    async def story() -> None:
        exchange = Exchange(2, 3, 5)
        take = asyncio.create_task(exchange.take())
        for number in (5, 6):
            assert await exchange.put(0, 0, segment(number))
        assert await waits(take)
        assert await exchange.put(1, 0, segment(5))
        first = await take
        assert [taken.segment.number for taken in first] == [5, 5]
        assert all(taken.queued >= 0 for taken in first)
        take = asyncio.create_task(exchange.take())
        assert await waits(take)
        assert await exchange.put(1, 0, segment(6))
        assert [taken.segment.number for taken in await take] == [6, 6]

    run(story())


def test_who_finds_the_queue_full_waits_for_the_learner() -> None:
    async def story() -> None:
        exchange = Exchange(1, 2, 0)
        assert await exchange.put(0, 0, segment(0))
        assert await exchange.put(0, 0, segment(1))
        third = asyncio.create_task(exchange.put(0, 0, segment(2)))
        assert await waits(third)
        await exchange.take()
        assert await third
        assert [(await exchange.take())[0].segment.number for _ in range(2)] == [1, 2]

    run(story())


def test_actors_have_the_newest_version_once_there_is_one() -> None:
    async def story() -> None:
        exchange = Exchange(1, 1, 0)
        first = asyncio.create_task(exchange.newest())
        assert await waits(first)
        await exchange.publish(0, ["a"])
        assert await first == (0, ["a"])
        await exchange.publish(1, ["b"])
        assert await exchange.newest() == (1, ["b"])

    run(story())


def test_another_life_goes_on_after_what_is_there_and_the_earlier_one_hands_nothing_in() -> None:
    async def story() -> None:
        exchange = Exchange(2, 1, 0)
        assert await exchange.revive(1) == (1, 0, None)
        assert not await exchange.put(1, 0, segment(0))
        assert await exchange.put(0, 0, segment(0))
        waiting = asyncio.create_task(exchange.put(0, 0, segment(1)))
        assert await waits(waiting)
        assert await exchange.revive(0) == (1, 1, b"after 0")
        assert not await waiting  # its actor is dead: the segment is made again
        assert await exchange.put(1, 1, segment(0))
        await exchange.take()
        assert not await exchange.put(0, 1, segment(0))  # which is there already
        assert await exchange.put(0, 1, segment(1))

    run(story())
