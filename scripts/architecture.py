"""Draw the figures of docs/architecture.md: the imports between packages, and the data flow of a phase.

    python -m scripts.architecture

The first is made from the import statements in lagbench/, by layer; a test checks that both are as committed.
"""

from __future__ import annotations

import ast
import html
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs/figures"
PLUGINS = ("baselines", "leaderboard")
# A module imports only from earlier layers and, without cycles, from its own.
LAYERS = (
    "errors machine registry source domain config seeding settings protocol rollout estimators divergence",
    "tasks policies",
    "phase store algorithm",  # before lag and actors: algorithms must not depend on them
    "lag",
    "spec",
    "actors",
    "records",
    "diagnostics evaluation checkpoint",
    "learner cluster collecting asynchronous training",
    "sinks scoring suites sweep synthetic check runner published video",
    "cli",
    "__init__",  # the public names; not imported by the package itself
    "__main__",
)
LAYER = {name: i for i, names in enumerate(LAYERS) for name in names.split()}

Edges = Mapping[str, set[str]]


def modules(directory: str, package: str) -> dict[str, Path]:
    """Dotted name → file of every module in a directory; an __init__ has its package's name."""
    found = {}
    for file in sorted((ROOT / directory).rglob("*.py")):
        parts = file.relative_to(ROOT / directory).with_suffix("").parts
        found[".".join((package, *parts)).removesuffix(".__init__")] = file
    return found


LAGBENCH = modules("lagbench", "lagbench")


def imports(name: str, file: Path) -> Iterator[tuple[str, str | None]]:
    """(module, imported name or None) of every import in a file, including lazy and type-checking ones."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package.split(".")[: 1 - node.level or None]) if node.level else ""
            source = ".".join(filter(None, (above, node.module)))
            yield from ((source, alias.name) for alias in node.names)


def edges(name: str, file: Path) -> set[str]:
    """The modules of lagbench that a module imports."""
    found = set()
    for source, attribute in imports(name, file):
        if source.partition(".")[0] == "lagbench":
            submodule = f"{source}.{attribute}"
            found.add(submodule if submodule in LAGBENCH or attribute in PLUGINS else source)
    return found


def part(name: str) -> str:
    """The top-level module or subpackage of lagbench that contains a module."""
    return "__init__" if name == "lagbench" else name.split(".")[1]


def between_layers() -> dict[str, set[str]]:
    """Part → the parts of earlier layers that it imports, without those implied by other imports."""
    direct: dict[str, set[str]] = {name: set() for name in LAYER}
    for name, file in LAGBENCH.items():
        own = part(name)
        direct[own] |= {
            part(target) for target in edges(name, file) if target in LAGBENCH and LAYER[part(target)] < LAYER[own]
        }
    reached: dict[str, set[str]] = {}
    for name in sorted(direct, key=LAYER.__getitem__):
        reached[name] = direct[name].union(*(reached[target] for target in direct[name]))
    return {
        name: {target for target in own if not any(target in reached[other] for other in own)}
        for name, own in direct.items()
    }


WIDTH, GAP, BOX, ROW = 960, 8, 26, 62


def packages() -> str:
    """The packages as SVG: one row per layer, the latest on top; a line for each import that no other implies."""
    direct = between_layers()
    rows = [names.split() for names in LAYERS if names != "__main__"]
    _untangle(rows, direct)
    rows = [["lagbench (public names)" if x == "__init__" else x for x in row] for row in rows]
    links = {"lagbench (public names)" if k == "__init__" else k: v for k, v in direct.items() if k != "__main__"}
    rows.append(list(PLUGINS))
    links |= {plugin: {"lagbench (public names)"} for plugin in PLUGINS}
    # The imports of the public names would hide all others.
    links["lagbench (public names)"] = {"cli"}
    place: dict[str, tuple[float, float, float]] = {}
    for i, row in enumerate(reversed(rows)):
        width = min(200.0, (WIDTH - GAP) / len(row) - GAP)
        left = (WIDTH - len(row) * (width + GAP) + GAP) / 2
        for j, name in enumerate(row):
            place[name] = (left + j * (width + GAP), GAP + i * ROW, width)
    lines = [
        _curve(place[name][0] + place[name][2] / 2, place[name][1] + BOX, x + width / 2, y)
        for name in place
        for x, y, width in (place[target] for target in sorted(links[name]))
    ]
    boxes = [
        _box(x, y, width, BOX, name, kind="plugin" if name in PLUGINS else "") for name, (x, y, width) in place.items()
    ]
    return _svg(WIDTH, GAP + (len(rows) - 1) * ROW + BOX + GAP, [*lines, *boxes])


def _untangle(rows: Sequence[list[str]], links: Edges) -> None:
    """Order each row by the mean position of its parts' neighbours, so that fewer lines cross."""
    downwards = list(itertools.pairwise(reversed(rows)))
    upwards = list(itertools.pairwise(rows))
    for _ in range(8):
        for other, own in [*upwards, *downwards]:
            place = {name: (i + 0.5) / len(other) for i, name in enumerate(other)}
            middle = {}
            for i, name in enumerate(own):
                near = [place[x] for x in other if x in links[name] or name in links[x]]
                middle[name] = sum(near) / len(near) if near else (i + 0.5) / len(own)
            own[:] = [name for _, name in sorted((middle[name], name) for name in own)]


# The steps of a phase: title, second line, position; then the data between them.
STEPS = {
    "draw": ("draw", "lag/staleness.py", 8, 8),
    "buffer": ("policy buffer", "versions k−L … k", 8, 128),
    "collect": ("collect", "actors/", 258, 8),
    "begin": ("evaluate the learner", "learner.py", 508, 8),
    "prepare": ("prepare", "algorithm: advantages", 758, 8),
    "update": ("loss, step  × ≤ U", "algorithm, on minibatches", 758, 128),
    "end": ("normalizer", "takes in observations", 508, 128),
    "push": ("push", "version k+1", 258, 128),
    "result": ("PhaseResult", "training.py yields it", 508, 248),
    "write": ("records", "Arrow, content hashes", 258, 248),
    "sinks": ("checkpoint, sinks", "console, TensorBoard", 8, 248),
}
FLOWS = (
    ("draw", "collect", "versions [N]"),
    ("buffer", "draw", ""),
    ("collect", "begin", "Rollout [T, N]"),
    ("begin", "prepare", "+ log π_T, V, V′"),
    ("prepare", "update", "+ advantage, value target"),
    ("update", "end", "π after U updates"),
    ("end", "push", "π, normalizer"),
    ("push", "buffer", "version"),
    ("end", "result", "diagnostics, evaluations"),
    ("result", "write", "rows"),
    ("write", "sinks", "committed"),
)
STEP_WIDTH, STEP_HEIGHT, PHASE_WIDTH, PHASE_HEIGHT = 140, 48, 906, 304


def phase() -> str:
    """The data flow of a phase as SVG."""
    drawn = []
    for source, target, words in FLOWS:
        (_, _, x0, y0), (_, _, x1, y1) = STEPS[source], STEPS[target]
        if y0 == y1:
            start, end = (x0 + STEP_WIDTH, x1) if x1 > x0 else (x0, x1 + STEP_WIDTH)
            middle = y0 + STEP_HEIGHT / 2
            drawn += [_arrow(start, middle, end, middle), _label((start + end) / 2, middle - 6, words, "middle")]
        else:
            x, start, end = x0 + STEP_WIDTH / 2, *((y0 + STEP_HEIGHT, y1) if y1 > y0 else (y0, y1 + STEP_HEIGHT))
            drawn += [_arrow(x, start, x, end), _label(x - 6, (start + end) / 2 + 4, words, "end")]
    boxes = [_box(x, y, STEP_WIDTH, STEP_HEIGHT, name, below=below) for name, below, x, y in STEPS.values()]
    return _svg(PHASE_WIDTH, PHASE_HEIGHT, [*drawn, *boxes])


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    style = (
        "text{font:12px system-ui,sans-serif;fill:#1a1a1a}.small{font-size:10px;fill:#555}"
        "rect{fill:#eef0fb;stroke:#5c6bc0}.plugin{fill:#e8f5e9;stroke:#43a047}path{fill:none;stroke:#9fa8da}"
        "marker path{fill:#5c6bc0;stroke:none}.arrow{stroke:#5c6bc0}"
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}">'
        f"<style>{style}</style>"
        '<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 8 4 0 8z"/></marker>'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def _box(x: float, y: float, width: float, height: float, text: str, below: str = "", kind: str = "") -> str:
    middle, centre = x + width / 2, y + height / 2 + 4
    shape = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" rx="4"{_class(kind)}/>'
    if not below:
        return shape + _label(middle, centre, text, "middle", "")
    return shape + _label(middle, centre - 7, text, "middle", "") + _label(middle, centre + 9, below, "middle")


def _label(x: float, y: float, text: str, anchor: str, kind: str = "small") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{_class(kind)}>{html.escape(text, quote=False)}</text>'


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _curve(x0: float, y0: float, x1: float, y1: float) -> str:
    bend = min(24.0, (y1 - y0) / 2)
    return f'<path d="M{x0:.1f} {y0:.1f}C{x0:.1f} {y0 + bend:.1f} {x1:.1f} {y1 - bend:.1f} {x1:.1f} {y1:.1f}"/>'


def _arrow(x0: float, y0: float, x1: float, y1: float) -> str:
    return f'<path class="arrow" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" marker-end="url(#tip)"/>'


PICTURES = {"architecture.svg": packages, "phase.svg": phase}


def main() -> None:
    """Write both figures."""
    for name, draw in PICTURES.items():
        (FIGURES / name).write_text(draw(), encoding="utf-8")
        print(FIGURES / name)


if __name__ == "__main__":
    main()
