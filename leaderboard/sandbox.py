"""Sandbox for untrusted source: no network, sees only Python, writes only one directory, limited resources."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import re
import resource
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

from lagbench import LagbenchError, UsageError
from lagbench.leaderboard.files import entries
from lagbench.leaderboard.text import shown

GIBIBYTE = 1 << 30
NOWHERE = subprocess.DEVNULL
DIRECTORY, READABLE = "{directory}", "{readable}"
"""Placeholders in a custom command: the writable directory, and a readable path.

A word with ``READABLE`` is repeated for each readable path.
"""
_BUBBLEWRAP = "bwrap"
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_SETTINGS = ("/etc/alternatives", "/etc/fonts", "/etc/ld.so.cache", "/etc/localtime")
_PACKAGES = ("lagbench", "lagbench.baselines", "lagbench.leaderboard")
_TEMPORARY, _TAIL, _SAID = GIBIBYTE, 1 << 12, 1_000
_DEAD = {"Z", "X"}
_ENTRIES = 10_000
_LOOK_S, _LOOK_SHARE = 0.1, 0.01
_GRACE_S = 8.0
# Sets the rlimits given as kind=limit up to --, then executes the command.
_LIMITED = """
import os, resource, sys
end = sys.argv.index("--")
for kind, _, limit in (word.partition("=") for word in sys.argv[1:end]):
    resource.setrlimit(getattr(resource, "RLIMIT_" + kind), (int(limit), int(limit)))
os.execvp(sys.argv[end + 1], sys.argv[end + 1:])
"""
_CONTROL_GROUPS = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))  # cgroup v1 and v2
_PIDS = "pids.max"
_JOINED = ("sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"')
_COUNTED_BY_NAMESPACE = (5, 14)
"""The first Linux version that counts a user's processes separately in each user namespace."""


@dataclass(frozen=True)
class Limits:
    """Resource limits of a command.

    Attributes:
        memory: bytes used by all its processes.
        gpu: whether it has access to GPUs; a process may then reserve more memory than it uses, as CUDA does.
        file: bytes per file.
        directory: total bytes in its directory.
        processes: concurrent processes and threads.
        seconds: wall time.
    """

    memory: int = 16 * GIBIBYTE
    gpu: bool = False
    file: int = 2 * GIBIBYTE
    directory: int = 4 * GIBIBYTE
    processes: int = 512
    seconds: float = 12 * 3600.0


class Overstepped(LagbenchError):
    """A command exceeded its limits and was ended."""


@dataclass(frozen=True)
class Sandbox:
    """How a command is confined.

    Attributes:
        name: name in the record; None without a sandbox, for trusted source.
        prefix: a command, with placeholders, that runs the command appended to it; None: bubblewrap.
        python: the interpreter inside.
    """

    name: str | None
    prefix: tuple[str, ...] | None = None
    python: str = sys.executable

    def command(
        self,
        arguments: Sequence[str],
        directory: Path,
        readable: Sequence[Path],
        limits: Limits,
        environment: Mapping[str, str] = MappingProxyType({}),
        info: int | None = None,
    ) -> list[str]:
        """The command line that runs Python with ``arguments`` in ``directory``, the only writable one.

        Bubblewrap writes the PID of its first process to the descriptor ``info``.
        """
        held = {"FSIZE": limits.file, "CORE": 0}
        if not limits.gpu:
            held["AS"] = limits.memory
        if self.prefix is None and _counted_by_namespace():
            held["NPROC"] = limits.processes
        setting = [f"{kind}={limit}" for kind, limit in held.items()]
        inner = [self.python, "-I", "-S", "-c", _LIMITED, *setting, "--", self.python, *arguments]
        if self.prefix is None:
            devices = sorted(Path("/dev").glob("nvidia*")) if limits.gpu else []
            told = [] if info is None else ["--info-fd", str(info)]
            return [_BUBBLEWRAP, *told, *_bubblewrap(directory, readable, devices, environment), *inner]
        words = (
            word.replace(READABLE, str(path))
            for word in self.prefix
            for path in (readable if READABLE in word else [directory])
        )
        return [*(word.replace(DIRECTORY, str(directory)) for word in words), *inner]


def choose(given: str | None = None, *, trusted: bool = False) -> Sandbox:
    """The sandbox to use: the given command, none for trusted source, or bubblewrap.

    Raises UsageError if the command is not valid, or bubblewrap does not work here.
    """
    if given is not None:
        words = shlex.split(given)
        if DIRECTORY not in given or READABLE not in given or shutil.which(words[0]) is None:
            raise UsageError(
                f"--sandbox takes an installed command, with {DIRECTORY} for the writable directory and {READABLE} for "
                f"readable ones, such as: docker run --rm --network none -v={DIRECTORY}:{DIRECTORY} "
                f"-v={READABLE}:{READABLE}:ro -w {DIRECTORY} IMAGE; not {given!r}"
            )
        return Sandbox(words[0].rpartition("/")[2], tuple(words), "python3")
    if trusted:
        return Sandbox(None, ())
    reason = "bubblewrap is not installed (apt-get install bubblewrap)"
    if shutil.which(_BUBBLEWRAP):
        tried = subprocess.run(
            [_BUBBLEWRAP, *_bubblewrap(Path("/tmp")), "true"], capture_output=True, encoding="utf-8", errors="replace"
        )
        if tried.returncode == 0:
            version = subprocess.run([_BUBBLEWRAP, "--version"], capture_output=True, encoding="utf-8").stdout.split()[
                -1
            ]
            return Sandbox(f"bubblewrap {version}")
        reason = f"bubblewrap does not work here ({' '.join(tried.stderr.split())})"
    raise UsageError(
        f"there is no sandbox for untrusted source: {reason}; or give a container with --sandbox, or --trust-source "
        "for source that you have read"
    )


def _counted_by_namespace() -> bool:
    """Whether the kernel limits the number of processes of each sandbox separately; it never limits root's."""
    version = tuple(map(int, re.findall(r"\d+", platform.release())[:2]))
    return os.geteuid() != 0 and version >= _COUNTED_BY_NAMESPACE


def _control_group(processes: int) -> Path | None:
    """Create a control group limited to ``processes``; None unless root, and able to."""
    for root in _CONTROL_GROUPS if os.geteuid() == 0 else ():
        with contextlib.suppress(OSError):
            group = Path(tempfile.mkdtemp(prefix="lagbench-", dir=root))
            if (group / _PIDS).exists():
                (group / _PIDS).write_text(str(processes), encoding="ascii")
                return group
            group.rmdir()
    return None


def _bubblewrap(
    directory: Path,
    readable: Sequence[Path] = (),
    devices: Sequence[Path] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    seen = [*map(Path, (*_SYSTEM, *_SETTINGS)), *_interpreter(), *readable]
    words = ["--unshare-all", "--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"]
    # Root would keep all capabilities, and with the one to mount make anything writable again.
    words += ["--cap-drop", "ALL"]
    own = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "USER": "nobody", **environment}
    for name, value in own.items():
        words += ["--setenv", name, value]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for place in ("/dev/shm", "/tmp"):
        words += ["--size", str(_TEMPORARY), "--tmpfs", place]
    for path in seen:
        words += ["--ro-bind-try", str(path), str(path)]
    for device in devices:
        words += ["--dev-bind", str(device), str(device)]
    words += ["--bind", str(directory), str(directory), "--chdir", str(directory)]
    # Root could change settings of the whole machine in /proc.
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/proc", "--remount-ro", "/", "--"]


def _interpreter() -> Iterator[Path]:
    """Directories of this Python and of installed packages."""
    yield from {Path(sys.prefix), Path(sys.base_prefix)}
    yield from (path for path in map(Path, sys.path) if {"site-packages", "dist-packages"} & {*path.parts})
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        yield from map(Path, (spec and spec.submodule_search_locations) or ())


def run(
    sandbox: Sandbox,
    arguments: Sequence[str],
    *,
    directory: Path,
    readable: Sequence[Path] = (),
    limits: Limits,
    stdout: IO[bytes] | int,
    stderr: IO[bytes] | int,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Run Python with ``arguments`` in a sandbox; return the exit code.

    It runs in ``directory``, where it can write, and can read the paths ``readable``; bubblewrap sets the variables
    ``environment``. If this process is interrupted, the command is terminated, and after a grace period killed.

    Raises Overstepped if it exceeds its ``limits``.
    """
    places = [path.absolute() for path in readable]
    reading, info = os.pipe()
    command = sandbox.command(arguments, directory.absolute(), places, limits, environment, info)
    group = _control_group(limits.processes)
    process = subprocess.Popen(
        [*([*_JOINED, str(group)] if group else []), *command],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        cwd=directory,
        pass_fds=[info] if command[0] == _BUBBLEWRAP else [],
    )
    os.close(info)
    with open(reading, encoding="utf-8") as told:
        first = _descriptor(told.read())
    try:
        return _followed(process, directory, limits)
    finally:
        # Bubblewrap ends with the command; processes that it left are killed a moment later, and can write until then.
        if first is not None:
            select.select([first], [], [], _GRACE_S)
            os.close(first)
        if group:
            with contextlib.suppress(OSError):
                group.rmdir()


def _descriptor(told: str) -> int | None:
    """A pidfd of the sandbox's first process, which ends last; None if it has ended."""
    with contextlib.suppress(ValueError, ProcessLookupError):
        return os.pidfd_open(json.loads(told)["child-pid"])
    return None


def _followed(process: subprocess.Popen[bytes], directory: Path, limits: Limits) -> int:
    """Wait for a process and return its exit code; end it if it exceeds its limits or an exception is raised."""
    began = time.monotonic()
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(min(_LOOK_S + _LOOK_SHARE * (time.monotonic() - began), 1.0))
            if time.monotonic() - began > limits.seconds:
                raise Overstepped(f"it took more than {limits.seconds:,.0f} seconds")
            _check(process.pid, directory, limits)
    except Overstepped:
        _kill(process)
        raise
    except BaseException:
        # Not to bubblewrap's own processes: if they end, all others are killed at once.
        inner = [pid for pid, one in _below(process.pid).items() if one.parent != process.pid]
        for pid in inner or [process.pid]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
        _kill(process)
        raise


def said(stderr: IO[bytes]) -> str:
    """The last line of a command's stderr, safe to display; empty if there is none."""
    stderr.seek(max(stderr.seek(0, os.SEEK_END) - _TAIL, 0))
    lines = stderr.read().decode(errors="replace").strip().splitlines()
    return shown(lines[-1].removeprefix("Error: "), _SAID) if lines else ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its descendants, and wait until they are gone, so that nothing more is written."""
    below = _below(process.pid)
    process.kill()
    process.wait()
    end = time.monotonic() + _GRACE_S
    while below and time.monotonic() < end:
        for pid in below:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        there = _processes()
        below = {pid: one for pid, one in below.items() if pid in there}
        time.sleep(_LOOK_S / 10)


def _check(pid: int, directory: Path, limits: Limits) -> None:
    threads, pages = 0, 0
    for one in _below(pid).values():
        threads, pages = threads + one.threads, pages + one.pages
    if pages * resource.getpagesize() > limits.memory:
        raise Overstepped(f"it used more than {limits.memory / GIBIBYTE:,.1f} GiB of memory")
    if threads > limits.processes:
        raise Overstepped(f"it had more than {limits.processes:,} processes and threads")
    written = 0
    for n, (_, size) in enumerate(entries(directory)):
        written += max(size or 0, 0)
        if written > limits.directory or n > _ENTRIES:
            raise Overstepped(f"it wrote more than {limits.directory / GIBIBYTE:,.1f} GiB, or {_ENTRIES:,} files")


@dataclass(frozen=True)
class _Process:
    parent: int
    threads: int
    pages: int


def _below(pid: int) -> Mapping[int, _Process]:
    """The descendants of a process, by PID."""
    found = _processes()
    below: dict[int, _Process] = {}
    above = {pid}
    while above:
        children = {child: one for child, one in found.items() if one.parent in above and child not in below}
        below.update(children)
        above = set(children)
    return below


def _processes() -> Mapping[int, _Process]:
    """All running processes, by PID; none if not on Linux, where there is no bubblewrap either."""
    found: dict[int, _Process] = {}
    for name in filter(str.isdecimal, os.listdir("/proc") if os.path.isdir("/proc") else ()):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name of a process, in parentheses, can contain anything.
            fields = (
                Path("/proc", name, "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            )
            if fields[0] not in _DEAD:
                found[int(name)] = _Process(int(fields[1]), int(fields[17]), int(fields[21]))
    return found
