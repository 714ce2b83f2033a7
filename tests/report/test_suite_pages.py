"""A suite's table and page: every row, every comparison, where it comes from, links that open."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from goalsight.benchmark.results import (
    SCHEMA,
    ModelRef,
    PairedTest,
    Results,
    SuiteResults,
    TaskResult,
)
from goalsight.report import write_suite
from goalsight.report.table import compared, suite_markdown


@pytest.fixture(scope="session")
def suite(results: Results) -> SuiteResults:
    """Two tasks with the rows of the made-up run; on the second nothing was planned."""
    tests = [PairedTest(rows=("hybrid", "gcbc"), only_first=40, only_second=9, p=0.000012)]
    first = TaskResult(
        folder="push near", manifest=results.manifest, rows=results.rows, mcnemar=tests, left_out=""
    )
    other = replace(
        first,
        folder="tea",
        manifest=replace(results.manifest, name="tea-far"),
        rows=results.rows[:1],
        mcnemar=[],
        left_out="agent: m plans 4 numbers, the task takes 6",
    )
    return SuiteResults(
        schema=SCHEMA,
        suite="core",
        goalsight="0.1.0",
        commit=f"{'ab12' * 10}+dirty",
        command="goalsight bench --suite core --out '<b>'",
        hardware="a processor, 2 cores",
        device="cpu",
        agent=None,
        renderer="egl",
        mujoco="4.0.0",
        seed=0,
        tasks=[first, other],
        checkpoint=ModelRef(name="<i>m</i>", sha256="beef" * 16, labels_used=["cube_pos"]),
    )


def test_the_table_has_a_line_for_every_row_of_every_task(suite: SuiteResults) -> None:
    text = suite_markdown(suite)
    assert "| push-near | agent | 4 | 25 % [5, 70] | 50 % [15, 85] | 50 / 60 ms |" in text
    assert "| push-near | zero | 4 | 0 % [0, 49] | 0 % [0, 49] |  |" in text
    assert text.count("| tea-far |") == 1
    assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {7}


def test_the_table_says_who_was_compared_what_is_missing_and_where_it_is_from(
    suite: SuiteResults,
) -> None:
    text = suite_markdown(suite)
    assert "- push-near: hybrid against gcbc +40 / −9, p < 0.001" in text
    assert "- tea-far, not played: agent: m plans 4 numbers, the task takes 6" in text
    assert "command `goalsight bench --suite core --out '<b>'`" in text
    assert "commit `ab12ab12ab12+dirty`; hardware a processor, 2 cores" in text
    assert "checkpoint <i>m</i> (SHA-256 beefbeefbeef)" in text
    assert "labels used in training cube_pos." in text


def test_a_suite_without_a_model_has_neither_checkpoint_nor_comparison(suite: SuiteResults) -> None:
    text = suite_markdown(replace(suite, checkpoint=None, tasks=suite.tasks[1:]))
    assert "checkpoint" not in text
    assert "McNemar" not in text


@pytest.mark.parametrize(
    ("p", "text"), [(0.0004, "p < 0.001"), (0.031, "p = 0.031"), (1, "p = 1.00")]
)
def test_probabilities_are_short(p: float, text: str) -> None:
    test = PairedTest(rows=("a", "b"), only_first=1, only_second=2, p=p)
    assert compared(test).startswith(f"a against b +1 / −2, {text}")


def test_the_page_links_every_report_and_cannot_be_broken_by_names(
    suite: SuiteResults, tmp_path: Path
) -> None:
    pages = write_suite(tmp_path, suite)
    page = pages.index.read_text(encoding="utf-8")
    assert re.findall(r'href="([^"]+)"', page) == [
        "push%20near/report.html",
        "tea/report.html",
    ]
    assert "<i>m</i>" not in page
    assert "'<b>'" in unescape(page)
    assert "the task takes 6" in page
    assert "beef" * 16 in page
    assert pages.table.read_text(encoding="utf-8") == suite_markdown(suite)
