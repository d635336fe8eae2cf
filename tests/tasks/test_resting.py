"""Waiting for threads to sleep."""

from __future__ import annotations

import threading
import time

import pytest

from lagbench.tasks import resting
from lagbench.tasks.mujoco import EnvPoolVectorEnv, make_vector


def test_a_thread_is_waited_for_until_it_sleeps() -> None:
    before, go_on, done = resting.threads(), threading.Event(), threading.Event()

    def work() -> None:
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            pass
        done.set()
        go_on.wait()

    thread = threading.Thread(target=work)
    thread.start()
    (its,) = resting.threads() - before
    resting.wait_until_asleep([its])
    assert done.is_set()
    go_on.set()
    thread.join()
    resting.wait_until_asleep([its], timeout=0)  # gone


def test_no_longer_than_allowed() -> None:
    end = threading.Event()

    def work() -> None:
        while not end.is_set():
            pass

    before, thread = resting.threads(), threading.Thread(target=work)
    thread.start()
    (its,) = resting.threads() - before
    resting.wait_until_asleep([its], timeout=0.01)
    assert thread.is_alive()
    end.set()
    thread.join()


def test_a_pools_threads_rest_before_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[frozenset[str]] = []
    monkeypatch.setattr(resting, "wait_until_asleep", lambda ids: waited.append(frozenset(ids)))
    before = resting.threads()
    env = make_vector(2, "InvertedPendulum-v5")
    env.reset(seed=0)
    first = resting.threads() - before
    assert len(first) >= 2  # one that steps, one that makes buffers
    env.reset(seed=1)  # another pool
    assert waited[-1] == first
    env.close()
    assert len(waited[-1]) >= 2
    assert not waited[-1] & first
    assert resting.threads() <= before


def test_an_environment_that_was_not_made_closes() -> None:
    with pytest.raises(Exception, match="at least 1 environment"):
        make_vector(0, "InvertedPendulum-v5")
    assert EnvPoolVectorEnv._pool is None
