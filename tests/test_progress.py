"""A bar is for work that takes long, and for somebody who looks on."""

from __future__ import annotations

import time

import pytest
from tests.clock import Clock

from goalsight.progress import progress_bar, styled_bar


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], took: float) -> str:
    clock = Clock()
    monkeypatch.setattr("goalsight.progress.time", clock)
    with progress_bar("Reading") as report:
        clock.sleep(took)
        report(1, 2)
    return capsys.readouterr().err


def test_a_bar_shows_after_two_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # stands for a terminal
    assert said(monkeypatch, capsys, took=1.9) == ""
    assert "Reading" in said(monkeypatch, capsys, took=2.1)


def test_a_log_shows_no_bar_however_long_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It left an empty line there: what was one line on a quick machine were two on a slow one."""
    assert said(monkeypatch, capsys, took=3600) == ""


def test_a_bar_says_what_is_counted_and_how_much_on_stderr_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with progress_bar("Counting", "sheep", delay_s=0) as report:
        report(3, 9)
        report(4, 9)
        time.sleep(0.3)  # rich draws ten times a second
    out, err = capsys.readouterr()
    assert out == ""
    assert "Counting" in err
    assert "4/9" in err
    assert "sheep" in err


def test_what_was_there_before_says_nothing_of_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """500 of 600 were there: two more in two seconds leave 98, not 5."""
    clock = [0.0]
    made = []

    def bar(*columns: object, **options: object) -> object:
        made.append(styled_bar(*columns))  # type: ignore[arg-type]
        made[-1].get_time = lambda: clock[0]
        return made[-1]

    monkeypatch.setattr("goalsight.progress.styled_bar", bar)
    with progress_bar("Collecting") as report:
        for done in (500, 501, 502, 503):
            report(done, 600)
            clock[0] += 1
        assert made[0].tasks[0].time_remaining == pytest.approx(97, abs=1)
