"""A run from its spec to its finished record: train → commit → checkpoint → sinks."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from lagbench import checkpoint, diagnostics
from lagbench.errors import AlgorithmError, LagbenchError, MismatchError, UsageError
from lagbench.evaluation import summarize
from lagbench.records.reader import Run, open_run
from lagbench.records.writer import RunWriter
from lagbench.sinks.base import Sink, Sinks
from lagbench.spec import RunSpec, resolve
from lagbench.tasks.spec import load_task
from lagbench.training import train

CHECKPOINT = "checkpoint"


class Interrupted(LagbenchError):
    """A signal ended the run between two phases: everything is committed, and it can be resumed."""

    def __init__(self, path: Path, number: int) -> None:
        super().__init__(f"interrupted; go on with: lagbench resume {path}")
        self.path = path
        self.exit_code = 128 + number


def directory_for(spec: RunSpec, root: Path = Path("runs")) -> Path:
    """A directory that holds no run yet: ``root/<task>/<algorithm>/lag<L>-u<U>-seed<S>-<n>``."""
    algorithm = spec.algorithm.name.rpartition(":")[2]
    protocol = spec.protocol
    stem = f"lag{protocol.lag}-u{protocol.updates}-seed{spec.seed}"
    n = 0
    while (path := root / spec.task / algorithm / f"{stem}-{n}").exists():
        n += 1
    return path


def execute(spec: RunSpec, path: Path, *, threads: int = 0, sinks: Sequence[Sink] = ()) -> Run:
    """Run a spec into a directory that holds no run. Returns the finished run.

    Raises UsageError where the directory holds a run, RecordError where records cannot be written, AlgorithmError or
    LagbenchError where the run failed (recorded as ``failed``), and Interrupted after SIGINT or SIGTERM.
    """
    with RunWriter.create(path, spec, **_sizes(spec), threads=threads) as writer:
        return _go_on(spec, path, writer, None, threads, Sinks(sinks))


def resume(path: Path, *, threads: int = 0, sinks: Sequence[Sink] = ()) -> Run:
    """Go on with a run that was cut off, after its last committed phase, as if it never had been. Raises as ``execute``."""
    run = open_run(path)
    if run.result is not None:
        raise UsageError(f"{path} is finished ({run.status}); see it with: lagbench show {path}")
    spec = run.spec
    loaded = checkpoint.load(path / CHECKPOINT)
    state, committed = loaded if loaded is not None else (None, {})
    with RunWriter.reopen(path, spec, committed=committed, **_sizes(spec), threads=threads) as writer:
        return _go_on(spec, path, writer, state, threads, Sinks(sinks))


def run(
    *,
    out: str | Path | None = None,
    threads: int = 0,
    sinks: Sequence[Sink] = (),
    spec: RunSpec | None = None,
    **options: Any,
) -> Run:
    """Resolve a spec (``lagbench.resolve`` has the options, or give ``spec``), run it, and return the finished run."""
    if spec is not None and options:
        raise UsageError("give a spec or options, not both")
    spec = spec or resolve(**options)
    return execute(spec, Path(out) if out is not None else directory_for(spec), threads=threads, sinks=sinks)


def _sizes(spec: RunSpec) -> dict[str, Any]:
    return {**load_task(spec.task, spec.task_options).record_sizes, "diagnostics": diagnostics.NAMES}


def _go_on(
    spec: RunSpec, path: Path, writer: RunWriter, state: Mapping[str, Any] | None, threads: int, sinks: Sinks
) -> Run:
    try:
        with _stop_on_signal() as stopped:
            sinks.start(spec, path, 0 if state is None else int(state["phases"]))
            for result in train(spec, threads=threads, state=state):
                state = result.state()
                writer.commit(result.record)
                checkpoint.save(path / CHECKPOINT, state, writer.committed())
                sinks.write(result)
                if (number := stopped()) and not result.last:
                    raise Interrupted(path, number)
        assert state is not None
        _finish(writer, spec, state)
    except (AlgorithmError, MismatchError) as error:
        writer.finish("failed", {"reason": str(error)}, {})
        raise
    finally:
        sinks.close()
    shutil.rmtree(path / CHECKPOINT)
    finished = open_run(path)
    sinks.finish(finished)
    return finished


def _finish(writer: RunWriter, spec: RunSpec, state: Mapping[str, Any]) -> None:
    prefix = "policy."
    policy = {k.removeprefix(prefix): v for k, v in state["learner"]["algorithm"].items() if k.startswith(prefix)}
    diverged = state["diverged"]
    summary = {
        "phases": state["phases"],
        "budget_used": state["phases"] * spec.protocol.samples,
        **summarize(open_run(writer.path)),
        **({"diverged": diverged} if diverged else {}),
    }
    writer.finish("diverged" if diverged else "completed", summary, policy)


@contextmanager
def _stop_on_signal() -> Iterator[Callable[[], int]]:
    """Turn SIGINT and SIGTERM into a number to ask for between phases; a second one is raised at once.

    Python takes signals in the main thread only; elsewhere the host's handling stays.
    """
    received = 0

    def note(number: int, _: FrameType | None) -> None:
        nonlocal received
        if received:
            raise KeyboardInterrupt
        received = number

    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
