"""Figures show the numbers of the results, name everybody that is drawn, and look the same every time."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from lagbench.scoring import details, measured, plots, score
from lagbench.scoring.details import Details
from lagbench.scoring.plots import canvas, scores, style
from lagbench.scoring.results import Results
from tests.scoring import synthetic

LAGS = (0, 4, 16)
HOSTILE = "_a $\\frac{x$ <b>"
LOGGED = {"ppo": "clipped_fraction", "vaco": "filtered_fraction", HOSTILE: "gate_fraction"}


def rows(**changes: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    return [
        synthetic.row(
            algorithm,
            task,
            seed,
            [0.0, height * 0.6, height + 0.1 * float(rng.standard_normal())],
            intervals=2,
            lag=lag,
            **{
                "tv": 0.02 * lag,
                "tv_backward": 0.01 * lag,
                "tv_forward": 0.05,
                "kl": 0.001 * (1 + lag),
                "ess": 1 / (1 + lag),
                "metrics": [(LOGGED[algorithm], 0.01 * lag)],
                **changes,
            },
        )
        for algorithm, height in (("ppo", 1.0), ("vaco", 0.8), (HOSTILE, 0.5))
        for lag, task, seed in itertools.product(LAGS, synthetic.TASKS, range(3))
    ]


def both(given: list[dict[str, Any]], **options: Any) -> tuple[Results, Details]:
    found = synthetic.scores(given, **options)
    return score.score_grid(found, replications=30), details.details(found, replications=30)


@pytest.fixture(scope="module")
def drawn() -> tuple[Results, Details, dict[str, Figure]]:
    results, more = both(rows())
    return results, more, {picture.name: picture.figure for picture in plots.pictures(results, more)}


def line_of(axes: Any, label: str) -> Any:
    (line,) = [line for line in axes.lines if line.get_gid() == label]
    return line


def texts(figure: Figure) -> list[str]:
    """All that a figure says, once it is laid out."""
    with canvas.settings():
        figure.draw_without_rendering()
    found: list[Any] = figure.findobj(Text)
    return [text.get_text() for text in found if text.get_text()]


def test_there_is_every_figure(drawn: Any) -> None:
    results, more, figures = drawn
    assert " ".join(figures) == "lag intervals pairs training area profiles tasks tasks-training divergence diagnostics"
    assert plots.left_out(results, more) == []


def test_score_against_lag(drawn: Any) -> None:
    results, _, figures = drawn
    final, area = figures["lag"].axes
    for line in results.lines:
        x, y = line_of(final, line.label).get_data()
        np.testing.assert_allclose(x, np.log2([1 + lag for lag in LAGS]))
        np.testing.assert_array_equal(y, [point.final.iqm.value for point in line.points])
        _, y = line_of(area, line.label).get_data()
        np.testing.assert_array_equal(y, [point.area.iqm.value for point in line.points])
    assert [tick.get_text() for tick in final.get_xticklabels()] == ["0", "4", "16"]
    said = texts(figures["lag"])
    assert "largest backward lag L, policy versions (log₂(1 + L) scale)" in said
    assert "IQM of normalised score" in said


def test_bands_are_the_intervals(drawn: Any) -> None:
    results, _, figures = drawn
    for line, band in zip(results.lines, figures["lag"].axes[0].collections, strict=True):
        vertices = band.get_paths()[0].vertices
        for i, point in enumerate(line.points):
            here = vertices[np.isclose(vertices[:, 0], np.log2(1 + LAGS[i])), 1]
            assert here.min() == pytest.approx(point.final.iqm.low)
            assert here.max() == pytest.approx(point.final.iqm.high)


def test_interval_estimates(drawn: Any) -> None:
    results, _, figures = drawn
    axes = figures["intervals"].axes
    assert len(axes) == len(LAGS) * 4
    assert [a.get_title() for a in axes[:4]] == ["IQM", "median", "mean", "optimality gap"]
    for i, _ in enumerate(LAGS):
        for j, name in enumerate(scores.AGGREGATES):
            axis = axes[i * 4 + j]
            found = [getattr(line.points[i].final, name) for line in results.lines]
            for bar, line, one in zip(axis.patches, results.lines, found, strict=True):
                assert (bar.get_x(), bar.get_width()) == pytest.approx((one.low, one.high - one.low))
                assert line_of(axis, line.label).get_xdata() == [one.value]
    assert [tick.get_text() for tick in axes[0].get_yticklabels()] == ["_a $\\frac{x$ <b>", "ppo", "vaco"]


def test_over_training(drawn: Any) -> None:
    results, more, figures = drawn
    for i, axis in enumerate(figures["training"].axes):
        for line, result in zip(more.lines, results.lines, strict=True):
            x, y = line_of(axis, line.label).get_data()
            np.testing.assert_allclose(x, [0, 150, 300])
            np.testing.assert_array_equal(y, [one.value for one in line.points[i].curve])
            assert y[-1] == pytest.approx(result.points[i].final.iqm.value)
    assert "thousands of actor steps" in texts(figures["training"])


def test_profiles_are_rliables(drawn: Any) -> None:
    from rliable import library

    _, more, figures = drawn
    found = synthetic.scores(rows())
    entry = found.grid.entries[1]
    block = found.block(entry, 16)
    assert block is not None
    wanted, _ = library.create_performance_profile({"": block[..., -1]}, np.array(more.thresholds), reps=2)
    np.testing.assert_allclose([one.value for one in more.lines[1].points[2].profile], wanted[""])
    x, y = line_of(figures["profiles"].axes[2], entry.label).get_data()
    np.testing.assert_array_equal(x, more.thresholds)
    np.testing.assert_allclose(y, wanted[""])


def test_tasks(drawn: Any) -> None:
    results, more, figures = drawn
    for t, axis in enumerate(figures["tasks"].axes):
        assert axis.get_title() == synthetic.TASKS[t]
        for line in results.lines:
            y = line_of(axis, line.label).get_ydata()
            np.testing.assert_array_equal(y, [point.tasks[t].final.value for point in line.points])
    axes = figures["tasks-training"].axes
    assert len(axes) == 6
    curve = more.lines[1].points[2].tasks[1].curve
    np.testing.assert_array_equal(line_of(axes[5], "ppo").get_ydata(), [one.value for one in curve])


def test_diagnostics(drawn: Any) -> None:
    _, more, figures = drawn
    axes = {axis.get_title(): axis for axis in figures["diagnostics"].axes}
    assert list(axes) == [quantity.title for quantity in measured.QUANTITIES["lag"]]
    expected: dict[str, list[float]] = {
        "TV before the updates": [0, 0.04, 0.16],
        "ESS before the updates": [1, 1 / 5, 1 / 17],
        "clipped, filtered, truncated": [0, 0.04, 0.16],
    }
    for title, wanted in expected.items():
        for label in LOGGED:
            np.testing.assert_allclose(line_of(axes[title], label).get_ydata(), wanted)
    assert all(axis.get_ylabel() for axis in axes.values())
    assert [measured.held(line) for line in more.lines] == [LOGGED[line.label] for line in more.lines]


def test_score_against_divergence(drawn: Any) -> None:
    results, _, figures = drawn
    (axis,) = figures["divergence"].axes
    for line in results.lines:
        x, y = line_of(axis, line.label).get_data()
        np.testing.assert_allclose(x, [0, 0.04, 0.16])
        np.testing.assert_array_equal(y, [point.final.iqm.value for point in line.points])
    assert len(axis.lines) == 3 * (1 + len(LAGS))  # and an interval at each point


def test_pairs(drawn: Any) -> None:
    """At lag 16 every run of PPO scores above every one of the last, which is far enough to be significant."""
    results, _, figures = drawn
    axis = figures["pairs"].axes[2]
    shown = axis.images[0].get_array()
    assert np.diag(shown.mask).all()
    for pair in results.comparisons:
        one, other = (
            next(i for i, line in enumerate(results.lines) if line.label == x) for x in (pair.first, pair.second)
        )
        assert shown[one, other] == pair.improvements[2].value == 1 - shown[other, one]
    said = {text.get_position(): text.get_text() for text in axis.texts}
    assert (said[0, 1], said[1, 0]) == ("1.00*", "0.00*")
    assert [tick.get_text() for tick in axis.get_xticklabels()] == [HOSTILE, "ppo", "vaco"]


def test_forward_lag_has_its_own_axis_and_diagnostics() -> None:
    given = [
        synthetic.row("ppo", task, seed, (0.0, 1.0), updates=updates, tv=0.1, ess=1.0, kl=0.1, updates_made=8.0)
        for updates, task, seed in itertools.product((8, 32), synthetic.TASKS, range(2))
    ]
    results, more = both(given)
    found = {picture.name: picture for picture in plots.pictures(results, more, only=("lag", "diagnostics"))}
    assert "updates per phase U (log₂ U scale)" in texts(found["lag"].figure)
    titles = [axis.get_title() for axis in found["diagnostics"].figure.axes]
    assert titles == ["TV after the updates", "KL after the updates", "updates made"]
    assert "ESS" not in found["diagnostics"].caption


def test_names_of_rows_do_not_run_into_one_another() -> None:
    """With few algorithms a row is lower than its name is long."""
    given = [
        synthetic.row("ppo", task, seed, (0.0, 1.0), updates=updates)
        for updates, task, seed in itertools.product((8, 32, 128), synthetic.TASKS, range(2))
    ]
    (picture,) = plots.pictures(*both(given), only=["intervals"])
    figure = picture.figure
    with canvas.settings():
        figure.draw_without_rendering()
        boxes = [axis.yaxis.label.get_window_extent() for axis in figure.axes if axis.get_ylabel()]
    assert len(boxes) == 3
    assert all(upper.y0 > lower.y1 for upper, lower in itertools.pairwise(boxes))


def test_far_apart_numbers_stand_on_a_logarithmic_axis() -> None:
    given = [
        synthetic.row(algorithm, task, seed, (0.0, 1.0), lag=lag, kl=kl)
        for (algorithm, kl), lag, task, seed in itertools.product(
            (("ppo", 0.001), ("spo", 0.001), ("vaco", 1.0)), (0, 4), synthetic.TASKS, range(2)
        )
    ]
    (last,) = plots.pictures(*both(given), only=["diagnostics"])
    (axis,) = last.figure.axes
    assert axis.get_yscale() == "log"
    said = texts(last.figure)
    assert "0.01" in said
    assert not any("mathdefault" in text for text in said)


@pytest.mark.parametrize(("largest", "top"), [(0.004, 0.005), (0.5, 1.03)])
def test_small_shares_of_samples_do_not_lie_on_the_floor(largest: float, top: float) -> None:
    given = [
        synthetic.row("ppo", task, seed, (0.0, 1.0), lag=lag, metrics=[("clipped_fraction", largest * lag / 4)])
        for lag, task, seed in itertools.product((0, 4), synthetic.TASKS, range(2))
    ]
    (last,) = plots.pictures(*both(given), only=["diagnostics"])
    (axis,) = last.figure.axes
    bottom, found = axis.get_ylim()
    assert bottom <= 0
    assert largest < found <= top


def test_a_caption_says_which_share_of_samples_is_whose() -> None:
    results, more = both(rows()[:36])
    (last,) = plots.pictures(results, more, only=["diagnostics"])
    assert last.caption.endswith("as logged by each algorithm: ppo: clipped_fraction, vaco: filtered_fraction.")


def test_every_legend_is_complete(drawn: Any) -> None:
    _, _, figures = drawn
    for name, figure in figures.items():
        if name in ("intervals", "area", "pairs"):  # names stand beside the bars and cells
            continue
        (legend,) = figure.legends
        assert [text.get_text().strip() for text in legend.get_texts()] == ["_a $\\frac{x$ <b>", "ppo", "vaco"]
        for handle, label in zip(legend.get_lines(), (HOSTILE, "ppo", "vaco"), strict=True):
            drawn_as = next(line for line in figure.axes[0].lines if line.get_gid() == label)
            assert handle.get_color() == drawn_as.get_color()


def test_nothing_lies_on_anything_else(drawn: Any) -> None:
    """Legend, labels of the whole figure and panels, with all that belongs to them."""
    _, _, figures = drawn
    for figure in figures.values():
        with canvas.settings():
            figure.draw_without_rendering()
            boxes = [axis.get_tightbbox() for axis in figure.axes if axis.axison]
            boxes += [legend.get_window_extent() for legend in figure.legends]
            boxes += [text.get_window_extent() for text in figure.texts]
        for one, other in itertools.combinations(boxes, 2):
            overlap = one.intersection(one, other)
            assert overlap is None or overlap.width < 1 or overlap.height < 1
        for box in boxes:
            assert box.x0 >= -1
            assert box.y0 >= -1
            assert box.x1 <= figure.bbox.width + 1
            assert box.y1 <= figure.bbox.height + 1


def test_an_algorithm_looks_the_same_whoever_is_beside_it() -> None:
    everybody = [(name, name) for name in (*style.BASELINES, "mine.py:Mine")]
    together = style.styles(everybody)
    for label, algorithm in everybody:
        assert style.styles([(label, algorithm)])[label] == together[label]
    assert len({(look.marker, look.line) for look in together.values()}) == len(together)
    swept = [(f"ppo clip={x}", "ppo") for x in range(30)]
    assert {look.colour for look in style.styles(swept).values()} == {style.BASELINES["ppo"].colour}
    assert len(set(style.styles(swept).values())) == 30


# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
SEEN = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def lab(rgb: np.ndarray[Any, Any]) -> Any:
    """CIE L*a*b* of linear RGB."""
    xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    x = xyz @ np.clip(rgb, 0, 1) / [0.95047, 1, 1.08883]
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SEEN)
def test_colours_differ_to_every_eye(sight: str) -> None:
    colours = [*sorted({look.colour for look in style.BASELINES.values()}), "#000000", "#ffffff"]
    linear = [
        np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in map(np.array, map(to_rgb, colours))
    ]
    seen = [lab(np.array(SEEN[sight]) @ rgb) for rgb in linear]
    assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2)) > 15


def test_long_names_are_cut_and_stay_apart() -> None:
    long = "/home/somebody/" + "deep/" * 20 + "mine.py:Mine"
    found = style.shown([long, "x" * 100, "x" * 50 + "y" * 40, "other/mine.py:Mine", "ppo clip=0.1"])
    assert found[long] == long
    assert found["other/mine.py:Mine"] == "other/mine.py:Mine"
    assert style.shown([long, "ppo"])[long] == "mine.py:Mine"
    assert len(found["x" * 100]) == 59
    assert len(set(found.values())) == 5


def test_files_are_the_same_every_time() -> None:
    def once() -> dict[str, bytes]:
        results, more = both(rows()[:36])
        (picture,) = plots.pictures(results, more, only=["lag"])
        return canvas.written(picture.figure)

    first = once()
    assert set(first) == {"pdf", "svg", "png"}
    assert once() == first
    assert b"<dc:date>" not in first["svg"]


def test_no_state_is_left_behind(drawn: Any) -> None:
    import matplotlib as mpl
    from matplotlib import pyplot

    assert pyplot.get_fignums() == []
    assert mpl.rcParams["svg.hashsalt"] is None
    assert mpl.rcParams["text.parse_math"]


def test_returns_that_are_not_normalised() -> None:
    results, more = both(rows(), scale=None)
    found = {picture.name: picture.figure for picture in plots.pictures(results, more)}
    assert list(found) == ["pairs", "tasks", "tasks-training", "diagnostics"]
    assert "*" not in "".join(texts(found["pairs"]))
    assert "final return" in texts(found["tasks"])
    left_out = plots.left_out(results, more)
    assert left_out == [
        "Score against lag, Interval estimates, Over training, Area under the curve, Performance profiles, "
        "Score against divergence: returns are not normalised, so they cannot be aggregated over tasks"
    ]


def test_one_algorithm_at_one_lag_on_one_task_with_one_seed() -> None:
    results, more = both([synthetic.row("ppo", "Hopper-v5", 0, (0.0, 1.0))])
    found = {picture.name: picture.figure for picture in plots.pictures(results, more)}
    assert list(found) == ["intervals", "training", "area", "profiles", "tasks-training"]
    assert plots.left_out(results, more) == [
        "Score against lag, Tasks against lag: there is only one value of lag",
        "Diagnostics against lag, Score against divergence: diagnostics are missing, or not from the same runs on "
        "every task",
        "Probability of improvement: no two algorithms have runs of the same cells",
    ]
    assert not list(found["intervals"].axes[0].patches)  # no interval
    for figure in found.values():
        texts(figure)


def test_what_is_missing_is_a_gap() -> None:
    given = [row for row in rows() if (row["algorithm"], row["lag"], row["task"]) != ("vaco", 4, "Hopper-v5")]
    results, more = both(given)
    wanted = ("lag", "intervals", "training")
    found = {picture.name: picture.figure for picture in plots.pictures(results, more, only=wanted)}
    y = line_of(found["lag"].axes[0], "vaco").get_ydata()
    assert np.isnan(np.asarray(y)).tolist() == [False, True, False]
    assert "not complete" in texts(found["intervals"])
    assert len(found["training"].axes[1].lines) == 2


def test_panels_below_one_another(drawn: Any) -> None:
    """For a narrow page: the same lines, one panel wide."""
    results, more, _ = drawn
    for name in ("lag", "tasks", "tasks-training", "diagnostics"):
        (wide,) = plots.pictures(results, more, only=[name])
        (narrow,) = plots.pictures(results, more, only=[name], most=1)
        assert narrow.figure.get_figwidth() < 5.5 < wide.figure.get_figwidth()
        drawn = [
            [
                (line.get_gid(), *map(str, np.asarray(line.get_xydata()).tolist()))
                for axes in one.figure.axes
                for line in axes.lines
            ]
            for one in (wide, narrow)
        ]
        assert drawn[0] == drawn[1]
        visible = [axes for axes in narrow.figure.axes if axes.lines]
        assert len({round(axes.get_position().x0, 1) for axes in visible}) == 1
    # And no later figure is.
    (again,) = plots.pictures(results, more, only=["lag"])
    assert again.figure.get_figwidth() > 5.5


def test_what_is_far_off_is_cut_off_and_named(drawn: Any) -> None:
    """PPO and VACO span from 0 to 1.2 or so: what is a million below stretches nothing, what is near is whole."""
    far = [row if row["algorithm"] != HOSTILE else {**row, **of_returns(row, -1e6)} for row in rows()]
    results, more = both(far)
    (picture,) = plots.pictures(results, more, only=["lag"])
    assert canvas.bounded(picture.figure, ["ppo", "vaco"]) == [HOSTILE]
    for axes in picture.figure.axes:
        low, high = axes.get_ylim()
        assert -2 < low < high < 4
    results, more, _ = drawn
    (picture,) = plots.pictures(results, more, only=["lag"])
    assert canvas.bounded(picture.figure, ["ppo"]) == []
    values = [float(y) for axes in picture.figure.axes for line in axes.lines for y in np.asarray(line.get_ydata())]
    low, high = picture.figure.axes[0].get_ylim()
    assert low < min(values) < max(values) < high
    # Nothing of nobody: as it was.
    assert canvas.bounded(picture.figure, ["nobody"]) == []
    assert picture.figure.axes[0].get_ylim() == (low, high)


def of_returns(row: dict[str, Any], scale: float) -> dict[str, Any]:
    returns = [x * scale for x in row["returns"]]
    return {"returns": returns, "final": returns[-1], "area": row["area"] * scale}
