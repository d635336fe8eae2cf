"""Results as tables of text, and as LaTeX."""

from __future__ import annotations

import pytest

from lagbench.scoring import coverage, score
from lagbench.scoring.latex import escaped, latex
from lagbench.scoring.results import Results, Tolerance
from lagbench.scoring.sheets import Sheet, rank_text, sheets, tolerance
from tests.scoring.synthetic import even, lags, row, scores


def score_of(rows: list[dict[str, object]], **options: object) -> Results:
    return score.score_grid(scores(rows, **options), replications=50)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pages() -> dict[str, Sheet]:
    found = {"a_1": {0: even(1.0), 1: even(0.5)}, "b": {0: even(0.5), 1: even(0.5)}, "c": {0: even(0.1), 1: even(0.1)}}
    return {sheet.title: sheet for sheet in sheets(score_of(lags(found)))}


def test_the_headline(pages: dict[str, Sheet]) -> None:
    sheet = pages["Score over lag"]
    assert sheet.columns == (
        "algorithm", "rank", "lag score", "IQM at lag 0", "IQM at lag 1", "retention at lag 1", "tolerance", "diverged"
    )  # fmt: skip
    one, half = "1.00 [1.00, 1.00]", "0.50 [0.50, 0.50]"
    assert sheet.rows[:2] == (
        ("a_1", "1", "0.75 [0.75, 0.75]", one, half, half, "0.1 [0.1, 0.1]", "0 of 12"),
        ("b", "2", half, half, half, one, "≥ 1 [≥ 1, ≥ 1]", "0 of 12"),
    )
    assert sheet.rows[2][-3:] == ("undefined", "undefined", "0 of 12")
    assert sheet.notes[0].startswith("c: retention and tolerance are undefined, the lower bound of IQM at lag 0")


def test_coverage_stands_under_every_table_with_intervals(pages: dict[str, Sheet]) -> None:
    assert len(pages) == 7
    for title, sheet in pages.items():
        assert all(len(row) == len(sheet.columns) for row in sheet.rows)
        if title != "Final returns by task":
            assert sheet.notes[-1] == coverage.note(3, 1 if "by task" in title else 2)


def test_power_stands_under_every_table_over_all_tasks(pages: dict[str, Sheet]) -> None:
    note = (
        "Power, by the spread of these runs: lag scores that differ by 0.1/0.2/0.3 are separated with probability "
        "1.00/1.00/1.00 (3 seeds on 2 tasks), with Holm's correction over 3 pairs at least 1.00/1.00/1.00."
    )
    assert [title for title, sheet in pages.items() if note in sheet.notes] == [
        "Score over lag", "Final score", "Area under the curve", "Differences",
    ]  # fmt: skip


def test_the_mean_action_stands_beside_the_returns_that_are_scored(pages: dict[str, Sheet]) -> None:
    sheet = pages["Final returns by task"]
    assert sheet.rows[:2] == (
        ("a_1", "0", "1.0 ± 0.0 (0.5 ± 0.0)", "1.0 ± 0.0 (0.5 ± 0.0)"),
        ("a_1", "1", "0.5 ± 0.0 (0.2 ± 0.0)", "0.5 ± 0.0 (0.2 ± 0.0)"),
    )
    assert sheet.notes == (
        "Of sampled actions; ± is the standard error over seeds.",
        "In brackets: of deterministic actions, not used for ranking.",
    )
    former = sheets(score_of([row("a", seed=seed, returns=(0.0, 3.0), former=True) for seed in range(2)]))[-1]
    assert former.rows == (("a", "0", "3.0 ± 0.0"),)
    assert former.notes == ("Of deterministic actions; ± is the standard error over seeds.",)


def test_differences_say_which_are_sure(pages: dict[str, Sheet]) -> None:
    assert pages["Differences"].rows[0] == (
        "a_1 − b", "+0.25 [+0.25, +0.25] *", "0", "+0.50 [+0.50, +0.50] *", "+0.00 [+0.00, +0.00]", "0.75 [0.75, 0.75]"
    )  # fmt: skip
    assert pages["Differences"].notes[0] == "* significant: p ≤ 0.05, with Holm's correction over 3 pairs"


def test_ties_show() -> None:
    (sheet, *_) = sheets(score_of(lags({"a": {0: even(1.0), 1: even(0.5)}, "b": {0: even(1.0), 1: even(0.5)}})))
    assert [cells[1] for cells in sheet.rows] == ["1=", "1="]
    assert "= is shared" in sheet.notes[0]


def test_gaps_show() -> None:
    rows = lags({"a": {0: even(1.0), 1: even(0.5)}})[:-1]
    pages = {sheet.title: sheet for sheet in sheets(score_of(rows))}
    assert pages["Final score"].rows[1][2:7] == ("–",) * 5
    assert pages["Final score"].notes[0] == "a at lag 1: different seeds on different tasks"
    assert pages["Final score by task: mean over seeds"].rows[1][-1] == "0.50 [0.50, 0.50] (2 seeds)"


def test_returns_that_are_not_normalised() -> None:
    rows = lags({"a": {0: even(1234.5)}})
    rows = [row("a", r["task"], r["seed"], (0.0, 1234.5), former=True) for r in rows]
    rows[0] = row("a", rows[0]["task"], 0, (0.0,), status="diverged", former=True)
    final, _, returns = sheets(score_of(rows, scale=None))
    assert final.title == "Final return by task: mean over seeds"
    assert final.rows == (("a", "0", "–", "1234.5 [1234.5, 1234.5]"),)
    assert returns.rows == (("a", "0", "–", "1234.5 ± 0.0"),)
    assert final.notes[0] == "a at lag 0: 1 of 6 diverged"


def test_an_accuracy_has_a_digit_more() -> None:
    """Three per thousand are four of 1,200 questions, and would be lost."""
    rows = [
        row(name, "GSM8kMini-v0", seed, (0.34, accuracy), updates=updates)
        for name, accuracy in (("a", 0.8807), ("b", 0.8774))
        for updates in (8, 16)
        for seed in range(3)
    ]
    found = score_of(rows)
    assert found.kind == "accuracy"
    pages = {sheet.title: sheet for sheet in sheets(found)}
    assert pages["Final score"].rows[0][3] == "0.881 [0.881, 0.881]"
    assert pages["Final score by task: mean over seeds"].rows[2][-1] == "0.877 [0.877, 0.877]"
    assert pages["Differences"].rows[0][1] == "+0.003 [+0.003, +0.003] *"


def test_tolerance_as_text() -> None:
    assert tolerance(None) == "–"
    assert tolerance(Tolerance(3.26, 1.0, 64.0, 64.0)) == "3.3 [1.0, ≥ 64]"
    assert tolerance(Tolerance(64.0, None, None, 64.0)) == "≥ 64"


def test_latex(pages: dict[str, Sheet]) -> None:
    text = latex(pages.values())
    assert text.count(r"\begin{table}") == text.count(r"\end{tabular}") == 7
    assert r"a\_1 & 1 & 0.75 [0.75, 0.75]" in text
    assert r"$\geq$ 1" in text
    assert r"a\_1 $-$ b" in text
    assert r"95\% intervals" in text
    assert escaped("a_b ≥ 5% \\ ^ ~") == r"a\_b $\geq$ 5\% \textbackslash{} \textasciicircum{} \textasciitilde{}"
    assert not set("≥−–") & set(text)


def test_ranks_that_are_shared() -> None:
    places: list[int | None] = [1, 1, 3, None]
    assert [rank_text(place, places) for place in places] == ["1=", "1=", "3", "–"]
