"""A bar is for work that takes long, and for somebody who looks on."""

from __future__ import annotations

import pytest
from tests.clock import Clock

from goalsight.data.progress import delayed_bar


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], took: float) -> str:
    clock = Clock()
    monkeypatch.setattr("goalsight.data.progress.time", clock)
    with delayed_bar("Reading") as report:
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
