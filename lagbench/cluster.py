"""Connections to Ray (extra ``lagbench[ray]``): to a cluster by its address, or a local instance."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lagbench.errors import UsageError

APART = "--asynchronous"
"""The option that runs actors and learner asynchronously."""
_ANSWER_S = 10.0


def module(flag: str) -> Any:
    """The module ``ray``, for the option ``flag``. Raises UsageError if it is not installed."""
    try:
        import ray
    except ImportError:
        raise UsageError(f"{flag} needs an extra: pip install 'lagbench[ray]'") from None
    return ray


def check(flag: str, address: str | None) -> None:
    """Raise UsageError if Ray is not installed or nothing answers at the address."""
    module(flag)
    if address is not None:
        with _found(address):
            _knock(address)


def connect(address: str, flag: str) -> Any:
    """The module ``ray``, connected to a cluster: ``auto``, or host:port of its head. Raises UsageError."""
    ray = module(flag)
    with _found(address), _own_signals():
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    return ray


def here(flag: str, tasks: int) -> tuple[Any, Callable[[], None]]:
    """The module ``ray`` with a local instance that runs ``tasks`` tasks, and a function that shuts it down.

    A connection that the host process already has is used and kept. Raises UsageError if Ray is not installed.
    """
    ray = module(flag)
    if ray.is_initialized():
        return ray, lambda: None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with _own_signals():
        ray.init(num_cpus=tasks, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    return ray, ray.shutdown


@contextmanager
def _found(address: str) -> Iterator[None]:
    """Turn the errors of a missing cluster into a UsageError."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"there is no Ray cluster at {address} ({reason}); start one with: ray start --head"
        ) from error


def _knock(address: str) -> None:
    """Raise OSError if nothing answers at the address; Ray itself would wait for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Preserve the process's signal handlers, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
