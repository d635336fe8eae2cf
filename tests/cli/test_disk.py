"""A disk that fills up and a directory made read-only: one sentence, exit code 1, and nothing committed is lost."""

import contextlib
import ctypes
import os
import resource
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.intact import RESUME, RUN, Rows, check_finished, phases
from tests.cli.moments import OPEN, RENAME, VERIFY, WRITE, Held, Moment, held
from tests.cli.processes import Child, started
from tests.cli.run_here import lagbench

# A file system of 4 MiB that only its process sees mounted, until its stdin is closed.
_MOUNTED = 'mount -t tmpfs -o size=4m none "$0" && echo mounted && read -r _'
# As anybody, where the system allows it; else as root.
_WAYS = (["unshare", "--user", "--map-root-user", "--mount"], ["unshare", "--mount"])


@dataclass(frozen=True)
class Disk:
    """A small disk. Where none can be mounted, a limit on the size of a process's files stands for its being full."""

    directory: Path
    mounted: bool

    @property
    def refusal(self) -> str:
        if self.mounted:
            return "(No space left on device); free some space on that disk"
        return "(File too large); allow larger files"

    @contextlib.contextmanager
    def full(self, process: Held) -> Iterator[None]:
        """Not a page is left; without a mount, ``process`` writes no file beyond half a KiB."""
        if not self.mounted:
            assert process.child.process.pid is not None
            resource.prlimit(process.child.process.pid, resource.RLIMIT_FSIZE, (512, resource.RLIM_INFINITY))
            yield
            return
        filler = self.directory / "filler"
        with filler.open("wb", buffering=0) as out, contextlib.suppress(OSError):
            while True:
                out.write(bytes(1 << 12))
        yield
        filler.unlink(missing_ok=True)


@pytest.fixture
def disk(here: Path) -> Iterator[Disk]:
    directory, mountpoint = here / "disk", here / "mountpoint"
    mountpoint.mkdir()
    for way in _WAYS:
        command = [*way, "sh", "-c", _MOUNTED, str(mountpoint)]
        with contextlib.ExitStack() as stack:
            try:
                holder = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            except FileNotFoundError:
                break
            assert holder.stdin is not None
            assert holder.stdout is not None
            stack.callback(holder.stdin.close)
            if holder.stdout.readline() == b"mounted\n":
                # What the holder sees there, for everybody.
                directory.symlink_to(f"/proc/{holder.pid}/root{mountpoint}")
                yield Disk(directory, mounted=True)
                return
    directory.mkdir()
    yield Disk(directory, mounted=False)


ON_DISK = (*RUN[:-2], "disk/run", "-q")
RESUME_THERE = ("resume", "disk/run", *RESUME[2:])
RESUMED = Moment("resuming", "before what is to stay is checked", 0, VERIFY)


def refused(process: Held) -> str:
    """The one sentence with which it ends."""
    process.release()
    return sentence(process.child)


def sentence(child: Child) -> str:
    assert child.wait() == 1
    assert child.out == ""
    (line,) = child.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("moment", "what"),
    [
        (Moment("committing", "in the middle", 3, WRITE, "trajectories/*.arrows"), "trajectories/00000.arrows"),
        (Moment("checkpointing", "in the middle", 6, OPEN, "checkpoint/state.tmp"), "checkpoint"),
        (Moment("finalising", "a table", 12, OPEN, "trajectories/data.arrow.tmp"), ""),
        (Moment("finalising", "the result", 12, OPEN, "result.json.tmp"), ""),
    ],
    ids=str,
)
def test_a_full_disk(moment: Moment, what: str, disk: Disk, here: Path, alone: Path, reference: Rows) -> None:
    run = disk.directory / "run"
    with held(here, moment, *ON_DISK) as process, disk.full(process):
        assert refused(process) == (
            f"Error: cannot write {Path('disk/run', what)} {disk.refusal}, then resume with: lagbench resume disk/run"
        )
        assert phases(run, reference) == moment.committed
        # As long as there is no room, it says so again.
        with held(here, RESUMED, *RESUME_THERE) as resumed, disk.full(resumed):
            assert disk.refusal in refused(resumed)
        # A resume goes on from the checkpoint: a phase that is in none was still under way.
        assert phases(run, reference) in {moment.committed, moment.committed - (moment.stage == "checkpointing")}
    assert lagbench(*RESUME_THERE).code == 0
    check_finished(run, alone, reference)


def test_a_disk_that_is_full_before_a_run_begins(disk: Disk, here: Path, alone: Path, reference: Rows) -> None:
    moment = Moment("beginning", "before the specification", 0, OPEN, "spec.json.tmp")
    with held(here, moment, *ON_DISK) as process, disk.full(process):
        assert refused(process) == f"Error: cannot write disk/run {disk.refusal}, then try again"
    assert lagbench(*ON_DISK).code == 0
    check_finished(disk.directory / "run", alone, reference)


def unprivileged() -> None:
    """Have root mind permissions, as everybody does: without its capabilities."""
    if os.geteuid() == 0:
        header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        assert ctypes.CDLL(None).capset(header, none) == 0


@contextlib.contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """It and what is in it."""
    there = [directory, *directory.rglob("*")]
    for path in there:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield
    for path in there:
        if path.exists():
            path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.mark.parametrize(
    ("moment", "what", "whole"),
    [
        # Files that are open already can be written to.
        (Moment("updating", "in the middle", 5, "torch.optim:Adam.step"), "checkpoint/version-6.tmp", 6),
        (Moment("checkpointing", "in the middle", 8, RENAME, "checkpoint/state.tmp"), "checkpoint/state.tmp", 8),
        (Moment("finalising", "the policy", 12, OPEN, "policy.safetensors.tmp"), "policy.safetensors.tmp", 12),
        (Moment("finalising", "the result", 12, RENAME, "result.json.tmp"), "result.json.tmp", 12),
    ],
    ids=str,
)
def test_a_directory_made_read_only(
    moment: Moment, what: str, whole: int, here: Path, alone: Path, reference: Rows
) -> None:
    run = here / "run"
    with held(here, moment, *RUN, prepare=unprivileged) as process, read_only(run):
        assert refused(process) == (
            f"Error: cannot write run/{what} (Permission denied); allow writing there, "
            "then resume with: lagbench resume run"
        )
        assert phases(run, reference) == whole
        with started(here, *RESUME, prepare=unprivileged) as resumed:
            assert sentence(resumed) == (
                "Error: cannot write run/.lock (Permission denied); allow writing there, then try again"
            )
        assert phases(run, reference) == whole
    assert lagbench(*RESUME).code == 0
    check_finished(run, alone, reference)


def test_a_read_only_place_for_a_run(here: Path) -> None:
    (here / "there").mkdir()
    with read_only(here / "there"), started(here, *RUN[:-2], "there/run", prepare=unprivileged) as child:
        assert sentence(child) == (
            "Error: cannot write there/run (Permission denied); allow writing there, then try again"
        )
    assert not (here / "there/run").exists()
