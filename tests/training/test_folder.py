"""The folder of a run: which run may go on in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from goalsight.errors import OutputError
from goalsight.training.trainer import RunFolder


@pytest.mark.parametrize(
    ("then", "now", "message"),
    [
        ({"a": {"x": 1}}, {"a": {"x": 1, "new": "front"}}, None),
        ({}, {"a": {"x": 0, "new": "front"}}, None),
        ({"a": {"x": 1}}, {"a": {"x": 1, "new": "wrist"}}, "a.new 'front', not 'wrist'"),
        ({"a": None}, {"a": {"x": 0, "new": "front"}}, "a.x None, not 0"),
        ({"a": {"x": 1, "gone": 2}}, {"a": {"x": 1, "new": "front"}}, "a.gone 2, not None"),
    ],
)
def test_a_setting_that_a_run_began_before_had_its_default_value(
    tmp_path: Path, then: dict[str, Any], now: dict[str, Any], message: str | None
) -> None:
    defaults = {"a": {"x": 0, "new": "front"}}
    folder = RunFolder(tmp_path / "run")
    with folder.open(then, "data"):
        folder.last.write_bytes(b"weights")
    again = RunFolder(tmp_path / "run").open(now, "data", defaults)
    if message is None:
        with again as resume:
            assert resume == folder.last
    else:
        with pytest.raises(OutputError, match=message), again:
            pass
