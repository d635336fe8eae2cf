"""What a stranger's program can and cannot do in the sandbox: real processes, each a fraction of a second."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from lagbench import UsageError
from lagbench.leaderboard import sandbox
from lagbench.leaderboard.files import entries
from lagbench.leaderboard.sandbox import Limits, Overstepped, Sandbox

MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def kept() -> Sandbox:
    return sandbox.choose()


def run(
    kept: Sandbox,
    directory: Path,
    code: str,
    limits: Limits | None = None,
    *arguments: str,
    readable: Sequence[Path] = (),
) -> tuple[int, str]:
    """Exit code and output of a program."""
    program = textwrap.dedent(code)
    with (directory.parent / f"{directory.name}.said").open("w+b") as said:
        arguments = ("-c", program, *arguments)
        limits = limits or Limits()
        exit_code = sandbox.run(
            kept, arguments, directory=directory, readable=readable, limits=limits, stdout=said, stderr=said
        )
        said.seek(0)
        return exit_code, said.read().decode()


def test_it_writes_in_its_directory_and_nowhere_else(kept: Sandbox, tmp_path: Path) -> None:
    (directory := tmp_path / "own").mkdir()
    (tmp_path / "other").mkdir()
    program = """
        import pathlib, sys
        for place in map(pathlib.Path, sys.argv[1:]):
            try:
                (place / "written").write_text("x")
                print("wrote", place)
            except OSError:
                pass
    """
    others = [
        "/",
        "/usr",
        "/etc",
        "/dev",
        "/proc",
        sys.prefix,
        str(Path(sandbox.__file__).parent),
        str(tmp_path / "other"),
    ]
    code, said = run(kept, directory, program, None, str(directory), "/tmp", *others)
    assert code == 0
    # /tmp is its own, in memory.
    assert said.split("\n") == [f"wrote {directory}", "wrote /tmp", ""]
    assert (directory / "written").read_text() == "x"
    assert not Path("/tmp/written").exists()


def test_it_sees_neither_files_nor_environment_of_the_host(
    kept: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory := tmp_path / "own").mkdir()
    (tmp_path / "secret").write_text("x")
    monkeypatch.setenv("TOKEN", "secret")
    program = f"""
        import os, pathlib
        print(sorted(os.environ.keys() - {{"LC_CTYPE"}}), os.listdir({str(tmp_path)!r}), os.path.exists("/etc/passwd"),
              pathlib.Path.home(), len([pid for pid in os.listdir("/proc") if pid.isdecimal()]) < 5)
    """
    _, said = run(kept, directory, program)
    assert said == "['HOME', 'LANG', 'PATH', 'PWD', 'USER'] ['own'] False /tmp True\n"


ESCAPE = """
    import ctypes, os, pathlib, sys
    libc = ctypes.CDLL(None)
    BIND, REMOUNT, DETACH, NEW_USER, NEW_MOUNTS = 4096, 32, 2, 0x10000000, 0x20000
    for flags in (0, NEW_USER | NEW_MOUNTS):
        libc.unshare(flags)
        for place in (sys.argv[1], "/proc", "/proc/sys"):
            libc.mount(None, place.encode(), None, BIND | REMOUNT, None)
        libc.umount2(b"/proc", DETACH)
        print(os.access("/proc/sys/kernel/core_pattern", os.W_OK), os.access("/proc/sysrq-trigger", os.W_OK))
        try:
            pathlib.Path(sys.argv[1], "written").write_text("x")
            print("wrote")
        except OSError:
            pass
"""


def test_what_it_sees_stays_read_only_whoever_runs_it(kept: Sandbox, tmp_path: Path) -> None:
    """Root too: what may mount makes anything writable again, and /proc has settings of the whole machine."""
    (directory := tmp_path / "own").mkdir()
    (seen := tmp_path / "seen").mkdir()
    assert run(kept, directory, ESCAPE, None, str(seen), readable=[seen]) == (0, "False False\n" * 2)
    assert not list(seen.iterdir())


def test_it_reaches_no_network(kept: Sandbox, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)"
        code, said = run(kept, tmp_path, program)
    assert code == 1
    assert "Connection refused" in said
    assert (
        "Network is unreachable"
        in run(kept, tmp_path, "import socket; socket.create_connection(('192.0.2.1', 80), 2)")[1]
    )


def test_it_kills_nobody(kept: Sandbox, tmp_path: Path) -> None:
    program = f"""
        import os, signal
        for pid in ({os.getpid()}, {os.getppid()}, os.getppid(), 1):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            print("there is nobody else")
    """
    assert run(kept, tmp_path, program) == (0, "there is nobody else\n")


# No more than 150, whatever holds them.
FORKS = "import os, time\nfor _ in range(150): os.fork() or time.sleep(60)\ntime.sleep(60)"


@pytest.mark.parametrize(
    ("program", "limits", "told"),
    [
        ("import time; time.sleep(60)", Limits(seconds=0.3), "it took more than 0 seconds"),
        (
            FORKS,
            Limits(processes=50),
            "it had more than 50 processes and threads",
        ),
        (
            "import os, time; os.fork(); os.fork(); os.fork(); x = bytearray(b'x') * (100 << 20); time.sleep(60)",
            Limits(memory=400 * MEBIBYTE),
            "it used more than 0.4 GiB of memory",
        ),
        (
            "import time\nfor i in range(90): open(f'{i}', 'wb').write(bytes(1 << 20))\ntime.sleep(60)",
            Limits(directory=50 * MEBIBYTE),
            "it wrote more than 0.0 GiB",
        ),
        (
            "import time\nfor i in range(500): open(f'{i}', 'w')\ntime.sleep(60)",
            Limits(),
            "or 100 files",
        ),
        (
            "import os, time\nfor i in range(500): os.mkdir(f'{i}')\ntime.sleep(60)",
            Limits(),
            "or 100 files",
        ),
    ],
    ids=["sleeps", "forks", "memory", "disk", "files", "directories"],
)
def test_it_is_ended_where_it_uses_too_much(
    kept: Sandbox, tmp_path: Path, program: str, limits: Limits, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By who watches it, where the kernel holds no number of processes too."""
    monkeypatch.setattr(sandbox, "_ENTRIES", 100)
    monkeypatch.setattr(sandbox, "_control_group", lambda processes: None)
    monkeypatch.setattr(sandbox, "_counted_by_namespace", lambda: False)
    began = time.monotonic()
    with pytest.raises(Overstepped, match=told):
        run(kept, tmp_path, program, limits)
    assert time.monotonic() - began < 50  # far from what it would have taken
    assert not [one for one in processes() if program in one]


def processes() -> list[str]:
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            found.append((directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def test_the_kernel_holds_each_process_to_its_limits(kept: Sandbox, tmp_path: Path) -> None:
    code, said = run(kept, tmp_path, "x = bytearray(100 << 30)")
    assert (code, said.splitlines()[-1]) == (1, "MemoryError")
    code, said = run(kept, tmp_path, "open('x', 'wb').write(bytes(2 << 20))", Limits(file=MEBIBYTE))
    assert code == 1
    assert "File too large" in said


def test_the_kernel_holds_the_number_of_processes(
    kept: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a user in the sandbox's own namespace, of root by a control group."""
    group = sandbox._control_group(50)
    monkeypatch.setattr(sandbox, "_control_group", lambda processes: group)
    if not (group or sandbox._counted_by_namespace()):
        pytest.skip("the kernel holds none here, as docs/submitting.md says")
    code, said = run(kept, tmp_path, FORKS, Limits(processes=50))
    assert (code, said.splitlines()[-1]) == (1, "BlockingIOError: [Errno 11] Resource temporarily unavailable")
    assert group is None or not group.exists()


def test_nothing_of_it_is_left_when_it_has_ended(kept: Sandbox, tmp_path: Path) -> None:
    """What would write once its directory was looked through."""
    program = "import os\nif not os.fork():\n    while True: open('x', 'a').write('x')"
    for _ in range(5):
        assert run(kept, tmp_path, program)[0] == 0
        assert not [one for one in processes() if program in one]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
def test_the_processes_of_a_user_are_counted_by_namespace(tmp_path: Path) -> None:
    """As a sandbox of a user that is not root sets it; 60 others of his are outside."""
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    inner = sandbox.Sandbox("bubblewrap", python="/usr/bin/python3")
    others = [subprocess.Popen([*as_nobody, "sleep", "60"]) for _ in range(60)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 65534)
        assert sandbox._counted_by_namespace()
        patch.setattr(sandbox, "_interpreter", lambda: iter(()))
        command = inner.command(["-c", FORKS], Path("/tmp"), (), Limits(processes=50))
    try:
        done = subprocess.run([*as_nobody, *command], capture_output=True, text=True, check=False)
        assert done.stderr.splitlines()[-1] == "BlockingIOError: [Errno 11] Resource temporarily unavailable"
    finally:
        for one in others:
            one.kill()
            one.wait()


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    code = f"""if True:
        import pathlib
        from lagbench.leaderboard import sandbox
        sandbox._control_group = lambda processes: None  # which nobody would remove
        sandbox.run(sandbox.choose(), ["-c", "import time; open('begun', 'w'); time.sleep(61.5)"],
                    directory=pathlib.Path({str(tmp_path)!r}), limits=sandbox.Limits(), stdout=None, stderr=None)
    """
    parent = subprocess.Popen([sys.executable, "-c", code])
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while any("sleep(61.5)" in one for one in processes()):
        time.sleep(0.05)


def test_what_it_leaves_is_seen_for_what_it_is(kept: Sandbox, tmp_path: Path) -> None:
    run(
        kept,
        tmp_path,
        """
        import os
        os.symlink("/etc/passwd", "link")
        os.mkfifo("pipe")
        open("file", "w").write("four")
        open("as-owner", "w").write("x")
        os.chmod("as-owner", 0o4755)
        for i in range(30):
            os.mkdir("d")
            os.chdir("d")
        """,
    )
    found = {file.name: size for file, size in entries(tmp_path)}
    assert found == {"link": -1, "pipe": -1, "file": 4, "as-owner": -1, "d": -1}


def test_a_container_may_stand_in_for_it(tmp_path: Path) -> None:
    given = sandbox.choose("env -i -v={directory}:{directory} -v={readable}:{readable}:ro IMAGE")
    command = given.command(["-m", "x"], tmp_path, (Path("/a"), Path("/b")), Limits())
    assert command[:6] == ["env", "-i", f"-v={tmp_path}:{tmp_path}", "-v=/a:/a:ro", "-v=/b:/b:ro", "IMAGE"]
    assert command[-4:] == ["--", "python3", "-m", "x"]  # within the limits that a process sets itself
    assert given.name == "env"
    for wrong in ("no-such-program {directory} {readable}", "env -i {directory}", "env -i {readable}"):
        with pytest.raises(UsageError, match="--sandbox takes an installed command, with"):
            sandbox.choose(wrong)


def test_without_one_a_source_has_to_be_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"bubblewrap is not installed .*or --trust-source"):
        sandbox.choose()
    assert sandbox.choose(trusted=True).name is None
