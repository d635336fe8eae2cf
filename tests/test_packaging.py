"""The house holds together: imports run one way, names resolve, the wheel is whole and works away from the checkout."""

from __future__ import annotations

import graphlib
import hashlib
import importlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

from lagbench.scoring import table
from scripts.architecture import LAGBENCH, LAYER, PLUGINS, edges, imports, modules, part
from tests.records import build
from tests.scoring import synthetic

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]


def directory_of(package: str) -> str:
    """Where a package lies: where pyproject.toml says of it, or of the nearest package above it."""
    for at in range(package.count(".") + 1, 0, -1):
        parts = package.split(".")
        if mapped := SETUPTOOLS["package-dir"].get(".".join(parts[:at])):
            return "/".join((mapped, *parts[at:]))
    return package.replace(".", "/")


DIRECTORIES = {name: directory_of(name) for name in SETUPTOOLS["packages"]}
PLUGIN_PACKAGES = tuple(f"lagbench.{name}" for name in PLUGINS)


def layer(name: str) -> int:
    """The layer of a module of lagbench, which is that of its subpackage."""
    key = part(name)
    assert key in LAYER, f"place {key!r} in LAYERS of scripts/architecture.py, after all that it imports"
    return LAYER[key]


def test_imports_run_one_way() -> None:
    wrong = []
    for name, file in LAGBENCH.items():
        for target in edges(name, file):
            if target.startswith(PLUGIN_PACKAGES):
                wrong.append(f"{name} imports {target}; lagbench must not know its plugins")
            elif layer(target) > layer(name):
                wrong.append(f"{name} imports {target}, from a later layer")
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_in_a_circle() -> None:
    try:
        graphlib.TopologicalSorter({name: edges(name, file) - {name} for name, file in LAGBENCH.items()}).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"imports run in a circle: {' ← '.join(error.args[1])}")


def test_plugins_import_only_public_names() -> None:
    public = set(importlib.import_module("lagbench").__all__)
    wrong = []
    for plugin in PLUGINS:
        package = f"lagbench.{plugin}"
        for name, file in modules(plugin, package).items():
            for source, attribute in imports(name, file):
                root = source.partition(".")[0]
                if root != "lagbench":
                    # A baseline is what anybody could write with torch alone; the leaderboard may use what lagbench
                    # installs.
                    if plugin == "baselines" and root != "torch" and root not in sys.stdlib_module_names:
                        wrong.append(f"{name} imports {source}; a baseline takes torch and the standard library")
                elif plugin == "leaderboard" and f"{source}.{attribute}".startswith(package):
                    continue
                elif source != "lagbench" or attribute not in public:
                    wrong.append(
                        f"{name} imports {attribute or source} from {source}; write `from lagbench import …` of a "
                        "public name"
                    )
    assert not wrong, "\n".join(wrong)


def test_public_names_resolve() -> None:
    lagbench = importlib.import_module("lagbench")
    assert len(set(lagbench.__all__)) == len(lagbench.__all__)
    assert set(lagbench.__all__) <= set(dir(lagbench))
    for name in lagbench.__all__:
        assert getattr(lagbench, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        lagbench.no_such_name  # noqa: B018


def test_every_package_is_listed() -> None:
    there = {str(f.parent.relative_to(ROOT)) for name in ("lagbench", *PLUGINS) for f in (ROOT / name).rglob("*.py")}
    assert sorted(DIRECTORIES.values()) == sorted(there), "complete [tool.setuptools] packages in pyproject.toml"
    for directory in there:
        assert (ROOT / directory / "__init__.py").is_file()


def test_entry_points_resolve() -> None:
    """And what is installed is what pyproject.toml says: after a change there, install again."""
    declared = {"console_scripts": PROJECT["project"]["scripts"], **PROJECT["project"]["entry-points"]}
    for group, names in declared.items():
        found = importlib.metadata.entry_points(group=group)
        for name, target in names.items():
            assert found[name].value == target
            assert found[name].load() is not None


def test_the_readme_names_every_extra_that_a_command_asks_for() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for extra in PROJECT["project"]["optional-dependencies"].keys() - {"bench", "test"}:
        assert f"`{extra}` for" in readme


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_a_checkout_holds_the_committed_bytes_where_git_converts_line_ends(tmp_path: Path) -> None:
    clone = ["git", "-c", "core.autocrlf=true", "clone", "--quiet", "--depth=1", ROOT.as_uri(), str(tmp_path)]
    subprocess.run(clone, check=True, capture_output=True)
    listing = subprocess.run(
        ["git", "ls-files", "--stage", "-z"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    files = [line.partition("\t") for line in listing.stdout.split("\0") if line and not line.startswith("120000")]
    assert len(files) > 400
    for entry, _, name in files:
        content = (tmp_path / name).read_bytes()
        # Git's own hash of a file.
        assert entry.split()[1] == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(), name


COMPLETION = {"_LAGBENCH_COMPLETE": "bash_complete", "COMP_WORDS": "lagbench run --algo v", "COMP_CWORD": "3"}


LIGHT = ("--help", "run --help", "list tasks", "list algorithms", "show mujoco-mini-v0")
READING = {
    "lag": "lag uniform --lag 2",
    "trace": "lag trace:run",
    "show a run": "show run",
    "score": "score table.arrow --replications 10",
}
HEAVY = {"torch", "envpool"}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with ``run`` and ``table.arrow``."""
    path = tmp_path_factory.mktemp("here")
    build.write_finished(path / "run", build.make_spec())
    rows = [synthetic.row(algorithm, seed=seed) for algorithm in ("ppo", "vaco") for seed in (0, 1)]
    table.to_file(synthetic.table(rows), path / "table.arrow")
    return path


@pytest.mark.parametrize(
    ("arguments", "environment", "heavy"),
    [
        *[pytest.param(line, {}, {*HEAVY, "pyarrow"}, id=line) for line in LIGHT],
        pytest.param("", COMPLETION, {*HEAVY, "pyarrow"}, id="completion"),
        *[pytest.param(line, {}, HEAVY, id=name) for name, line in READING.items()],
    ],
)
def test_light_commands_import_nothing_heavy(
    arguments: str, environment: dict[str, str], heavy: set[str], here: Path
) -> None:
    done = subprocess.run(
        [Path(sysconfig.get_path("scripts"), "lagbench"), *arguments.split()],
        cwd=here,
        env=os.environ | environment | {"PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
    )
    profile = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert done.returncode == 0, "\n".join(line for line in done.stderr.splitlines() if line not in profile)
    assert done.stdout
    imported = {line.rpartition("|")[2].strip() for line in profile}
    assert "lagbench.registry" in imported
    assert not imported & heavy


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as `make dist` builds it, by way of the source distribution, from a copy, where build/ may be left."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    for name in {directory.split("/")[0] for directory in DIRECTORIES.values()}:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for decoy in ("scores/DECOY.arrow", "submissions/mine/submission.json", "submissions/mine/scores/x.arrow"):
        file = source / "leaderboard" / decoy
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    command: list[str | Path] = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [file.name for file in out.glob("*.tar.gz")] == [f"lagbench-{PROJECT['project']['version']}.tar.gz"]
    (file,) = out.glob("*.whl")
    return file


def pip(*arguments: str) -> None:
    """Run this environment's pip on what is there already."""
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--no-deps", "--no-index"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_wheel_holds_all_modules_and_data(wheel: Path) -> None:
    wanted = {
        f"{name.replace('.', '/')}/{file.name}"
        for name, directory in DIRECTORIES.items()
        for file in (ROOT / directory).iterdir()
        if file.suffix in {".py", ".toml", ".typed"}
    }
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert wanted <= held
    assert {name.split("/")[0] for name in held} == {"lagbench"}
    # Published scores are there; what was submitted is not.
    published = {f"lagbench/leaderboard/scores/{file.name}" for file in (ROOT / "leaderboard/scores").glob("*.arrow")}
    assert {name for name in held if "/scores/" in name} == published | {"lagbench/leaderboard/scores/DECOY.arrow"}
    assert not [name for name in held if "/submissions/" in name]


@pytest.mark.slow
def test_wheel_works_beside_decoys(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own, in a directory whose baselines/ and leaderboard/ must never be taken for ours."""
    environment, directory = tmp_path / "environment", tmp_path / "empty"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python, script = environment / "bin/python", environment / "bin/lagbench"
    pip("--python", str(python), "install", str(wheel))
    # The dependencies are this environment's. A path file brings no path files of its own along, so that the checkout,
    # installed here as editable, stays out.
    purelib = environment / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    (purelib / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for name in PLUGINS:
        (directory / name).mkdir(parents=True)
        (directory / name / "__init__.py").write_text("raise RuntimeError('a decoy was imported')\n")

    def run(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run(python, "-c", "import lagbench; print(lagbench.__file__)").startswith(str(purelib))
    assert "Usage" in run(python, "-m", "lagbench", "--help")
    listed = run(script, "list", "algorithms", "--json")
    assert json.loads(listed)
    assert all(name in listed for name in PROJECT["project"]["entry-points"]["lagbench.algorithms"])
    run(script, "check", "ppo")
