"""Execute a run from its spec to its finished record: train → commit → checkpoint → sinks."""

from __future__ import annotations

import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import torch

from lagbench import cluster, diagnostics, suites
from lagbench.checkpoint import Checkpoint
from lagbench.config import INT32, Range, parsed
from lagbench.errors import LagbenchError, RecordError, UsageError
from lagbench.evaluation import summarize
from lagbench.records.files import LOCK_FILE, explained, locked, resume_command
from lagbench.records.reader import RUNS, Run, open_run
from lagbench.records.writer import RunWriter
from lagbench.settings import own_settings
from lagbench.sinks.base import Sink, Sinks, make
from lagbench.source import loading
from lagbench.source.algorithms import may_be
from lagbench.spec import RunSpec, check_device
from lagbench.training import PhaseResult, train

CHECKPOINT = "checkpoint"
CHECKPOINT_EVERY = 60.0
"""Seconds between checkpoints; one is also due after a tenth of the run's phases."""
_OUT_OF_MEMORY = (MemoryError, torch.OutOfMemoryError)


class Interrupted(LagbenchError):
    """A signal ended the run; it can be resumed after its last committed phase."""

    def __init__(self, path: Path, number: int, phases: int, of: int) -> None:
        super().__init__(f"interrupted after {phases} of {of} phases; resume with: {resume_command(path)}")
        self.path = path
        self.exit_code = 128 + number


def new_directory(spec: RunSpec, root: Path = RUNS) -> Path:
    """Create an empty directory for a run: ``root/<task>/<algorithm>/lag<L>-u<U>-seed<S>-<n>`` with the first free n.

    Runs that start at the same time get different directories. Raises RecordError if none can be created.
    """
    # Of ``path/to/file.py:Name``, the name.
    task, algorithm = (name.rpartition(":")[2] for name in (spec.task, spec.algorithm.name))
    n = 0
    while True:
        path = root / task / algorithm / f"{spec.cell_name}-{n}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            n += 1
        except OSError as error:
            raise RecordError(
                f"cannot make {path} ({error.strerror or error}); run in another directory, or name one with --out"
            ) from error
        else:
            return path


def execute(
    spec: RunSpec,
    path: Path,
    *,
    threads: int = 0,
    checkpoint_every: float = CHECKPOINT_EVERY,
    sinks: Sequence[Sink] = (),
    ray: str | None = None,
) -> Run:
    """Run a spec in a directory that contains no run. Returns the finished run.

    A checkpoint is written when ``checkpoint_every`` seconds or a tenth of the phases have passed since the last one,
    and when a signal ends the run; not after the last phase. ``ray`` is the address of the Ray cluster for the actors
    of an asynchronous run; None: this machine.

    Raises UsageError if the spec cannot be run here or the directory contains a run, RecordError if records cannot be
    written, and Interrupted after SIGINT or SIGTERM. Any other LagbenchError and any exception raised in the
    algorithm's code is recorded as ``failed`` and raised.
    """
    with own_settings(spec.torch_threads):
        _check(spec, ray)
        with RunWriter.create(path, spec, spec.sources(), **record_sizes(spec), threads=threads) as writer:
            phases = train(spec, threads=threads, ray=ray)
            return _go_on(spec, writer, Checkpoint(path / CHECKPOINT), None, phases, checkpoint_every, Sinks(sinks))


@own_settings()
def resume(
    path: Path,
    *,
    threads: int = 0,
    checkpoint_every: float = CHECKPOINT_EVERY,
    sinks: Sequence[Sink] = (),
    ray: str | None = None,
) -> Run:
    """Resume an interrupted run from its last checkpoint, with the same result as without the interruption.

    Arguments and exceptions are those of ``execute``.
    """
    run, checkpoint, saved = open_run(path), Checkpoint(path / CHECKPOINT), None
    if run.result is None:
        # The lock excludes a process that still writes the run.
        with explained(path, "try again"), locked(path / LOCK_FILE, path):
            saved = checkpoint.load()
    else:
        checkpoint.remove()  # left if the process was killed after the run had finished
    # `reopen` checks spec.json against it.
    spec = run.spec if saved is None else saved.spec
    if run.result is None:
        _check(spec, ray)
    committed = {} if saved is None else saved.committed
    with RunWriter.reopen(path, spec, committed=committed, **record_sizes(spec), threads=threads) as writer:
        state = None if saved is None else saved.state
        phases = train(spec, threads=threads, state=state, ray=ray)
        return _go_on(spec, writer, checkpoint, state, phases, checkpoint_every, Sinks(sinks))


def record_sizes(spec: RunSpec) -> dict[str, Any]:
    """The sizes that the columns of a run's tables depend on, as an argument of ``RunWriter``."""
    return {**spec.load_task().record_sizes, "diagnostics": diagnostics.names(spec.domain, spec.is_asynchronous)}


@parsed(suites.resolve)
def run(
    *,
    out: str | Path | None = None,
    threads: Annotated[int, Range(ge=0, le=INT32)] = 0,
    checkpoint_every: Annotated[float, Range(ge=0)] = CHECKPOINT_EVERY,
    sinks: Sequence[Sink | str] = (),
    ray: str | None = None,
    spec: RunSpec | None = None,
    **options: Any,
) -> Run:
    """Train one algorithm under lag to the end of its budget, and record the run.

    Args:
        out: the run's directory; by default a new one, ``runs/<task>/<algorithm>/lag<L>-u<U>-seed<S>-<n>``.
        threads: EnvPool threads, 0 for one per core. They do not affect results.
        checkpoint_every: seconds between checkpoints.
        sinks: called for every phase, in addition to the records: names as for ``--log`` (and ``console``), or
            ``lagbench.Sink`` objects.
        ray: address of the Ray cluster for the actors of an asynchronous run; None: this machine.
        spec: a specification, instead of options; an installed algorithm is run with the installed version, with a
            warning if it differs.
        options: those of ``lagbench.resolve``.

    Returns:
        The finished run, completed or diverged.

    Raises:
        UsageError: the options are not valid, or the directory contains a run.
        LagbenchError: it failed, could not be recorded, or was interrupted; the message has the command to resume it.
    """
    if spec is None:
        spec = suites.resolve(**options)
    elif options:
        raise UsageError("give a spec or options, not both")
    else:
        spec, note = renewed(spec)
        if note:
            warnings.warn(note, stacklevel=2)
    check_ray(spec, ray)
    if note := unrepeated(spec):
        warnings.warn(note, stacklevel=2)
    made = [make(sink) for sink in sinks]
    path = Path(out) if out is not None else new_directory(spec)
    return execute(spec, path, threads=threads, checkpoint_every=checkpoint_every, sinks=made, ray=ray)


def renewed(spec: RunSpec) -> tuple[RunSpec, str]:
    """The spec with the installed version of its algorithm, and a warning if the spec has another one, or "".

    Raises UsageError if the algorithm is not installed.
    """
    now, then = spec.renewed(), spec.algorithm
    return now, "" if may_be(
        now.algorithm, then
    ) else f"{then.name} is from {now.algorithm.source} here, but was from {then.source}"


def unrepeated(spec: RunSpec) -> str:
    """The warning for a run whose task is not reproducible from seeds and actions, or ""."""
    if spec.repeats:
        return ""
    return (
        f"{spec.task} does not repeat from seeds and actions (tried): a replay steps nothing again, and a resumed run "
        "begins its episodes anew"
    )


def check_ray(spec: RunSpec, ray: str | None) -> None:
    """Raise UsageError if Ray or the cluster at ``ray`` is unavailable, or if ``ray`` is set and the run needs none."""
    if spec.is_asynchronous:
        cluster.check(cluster.APART, ray)
    elif ray is not None:
        raise UsageError("--ray names the cluster of an asynchronous run; add --asynchronous, or leave it out")


def _check(spec: RunSpec, ray: str | None = None) -> None:
    """Raise UsageError, before anything is written, if the spec cannot be run on this machine."""
    check_ray(spec, ray)
    spec.load_algorithm()
    suites.check(spec)
    check_device(spec.device)
    task = spec.load_task()
    task.check(spec.protocol, max(spec.evaluation.modes(last=True).values()))
    task.rehearse(spec.device, None if spec.policy is None else spec.network())


def _go_on(
    spec: RunSpec,
    writer: RunWriter,
    checkpoint: Checkpoint,
    state: Mapping[str, Any] | None,
    phases: Generator[PhaseResult, None, None],
    checkpoint_every: float,
    sinks: Sinks,
) -> Run:
    path = writer.path
    done = kept = 0 if state is None else int(state["phases"])
    diverged = None if state is None else state["diverged"]
    policy = {} if state is None else _policy(state["learner"]["algorithm"])
    since = time.monotonic()

    def save(result: PhaseResult) -> None:
        nonlocal kept, since
        checkpoint.save(spec, result.state(), writer.committed())
        kept, since = done, time.monotonic()

    with signals_wait(sinks.stopping) as received:
        try:
            sinks.start(spec, path, done)
            for result in phases:
                writer.commit(result.record)
                done += 1
                # Copied: if the next phase fails, the learner's weights are those of a part of it.
                policy = {k: v.to("cpu", copy=True) for k, v in result.policy.state_dict().items()}
                diverged = asdict(result.diverged) if result.diverged else None
                due = time.monotonic() - since >= checkpoint_every or done - kept >= spec.phases // 10
                if due and not result.last:
                    save(result)
                sinks.write(result)
                if (number := received()) and not result.last:
                    if kept < done:
                        save(result)
                    raise Interrupted(path, number, done, spec.phases)
            _finish(writer, spec, done, diverged, policy)
        except KeyboardInterrupt:
            raise Interrupted(path, received() or signal.SIGINT, kept, spec.phases) from None
        except (Interrupted, RecordError):
            raise
        except Exception as error:
            place = _place(error, spec)
            # Other errors, such as a full memory, are not the algorithm's: the run can be resumed later or elsewhere.
            if isinstance(error, LagbenchError) or (place and not isinstance(error, _OUT_OF_MEMORY)):
                reason = f"{type(error).__name__}: {error}" + (f" ({place})" if place else "")
                _fail(writer, spec, checkpoint, reason, done, policy)
                error.add_note(f"in phase {done}{f', at {place}' if place else ''}; {path} is recorded as failed")
            else:
                note = f"after {kept} of {spec.phases} phases, which are kept"
                error.add_note(f"{note}; resume with: {resume_command(path)}")
            raise
        finally:
            phases.close()
            sinks.close()
    checkpoint.remove()
    finished = open_run(path)
    sinks.finish(finished)
    return finished


def _finish(
    writer: RunWriter, spec: RunSpec, done: int, diverged: Mapping[str, Any] | None, policy: Mapping[str, torch.Tensor]
) -> None:
    recorded = open_run(writer.path)
    summary = {
        "phases": done,
        "budget_used": done * spec.protocol.samples,
        **summarize(recorded),
        **({"diverged": {**diverged, "last_logged": _last_logged(recorded)}} if diverged else {}),
    }
    writer.finish("diverged" if diverged else "completed", summary, policy)


def _fail(
    writer: RunWriter,
    spec: RunSpec,
    checkpoint: Checkpoint,
    reason: str,
    done: int,
    policy: Mapping[str, torch.Tensor],
) -> None:
    summary = {"phases": done, "budget_used": done * spec.protocol.samples, "reason": reason}
    writer.finish("failed", summary, policy)
    checkpoint.remove()


def _policy(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    prefix = "policy."
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _last_logged(recorded: Run) -> dict[str, Any]:
    """The metrics of the last phase that logged any; for a diverged phase, means over the updates before."""
    rows = recorded.phases.to_table(columns=["phase", "metrics"]).to_pylist()
    logged = [row for row in rows if row["metrics"]]
    return {"phase": logged[-1]["phase"], "metrics": dict(logged[-1]["metrics"])} if logged else {}


def _place(error: BaseException, spec: RunSpec) -> str | None:
    """The innermost line of the algorithm's source in an exception's traceback, or None."""
    own = spec.load_algorithm().__module__
    lines = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if loading.is_alike(frame.f_globals.get("__name__", ""), own)
    ]
    return lines[-1] if lines else None


@contextmanager
def signals_wait(stopping: Callable[[], None]) -> Iterator[Callable[[], int]]:
    """Defer SIGINT and SIGTERM: yields a function that returns the signal's number, or 0.

    The first signal calls ``stopping``, a second raises KeyboardInterrupt. Python handles signals in the main thread
    only; in other threads nothing changes.
    """
    received = 0

    def note(number: int, _: FrameType | None) -> None:
        nonlocal received
        if received:
            raise KeyboardInterrupt
        received = number
        stopping()

    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
