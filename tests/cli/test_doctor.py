"""`goalsight doctor` and `goalsight envs`: true on this machine, helpful on a broken one."""

from __future__ import annotations

import json

import pytest

from goalsight.cli import doctor
from goalsight.cli.main import main


def test_every_check_passes_where_the_tests_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {finding["name"] for finding in report["findings"]} == set(doctor.CHECKS)
    assert all(finding["ok"] and not finding["advice"] for finding in report["findings"])
    assert report["versions"]["goalsight"]


def test_a_check_that_fails_says_what_to_do_and_the_others_still_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> doctor.Finding:
        raise ImportError("libx264 is missing")

    monkeypatch.setattr(doctor, "CHECKS", {"films": broken, "disk": doctor.room})
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "FAIL  films  ImportError: libx264 is missing" in out
    assert "to do: " in out
    assert "ok    disk" in out


def test_a_disk_that_is_nearly_full_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE_GB", 1e9)
    finding = doctor.room()
    assert not finding.ok
    assert "--out" in finding.advice


def test_envs_tells_a_machine_every_id_and_space(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envs", "--json"]) == 0
    cards = {card["id"]: card for card in json.loads(capsys.readouterr().out)}
    assert set(cards) >= {"Goalsight/Push-v0", "Goalsight/Reach-v0"}
    push = cards["Goalsight/Push-v0"]
    assert push["control_dt"] == 0.1
    assert list(push["action"].values()) == [[-1.0, 1.0]] * 4
    assert push["observation"]["pixels"] == "(64, 64, 3) uint8"


def test_envs_tells_a_person_units_and_meanings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envs"]) == 0
    out = capsys.readouterr().out
    for word in ("Goalsight/Push-v0", "pixels", "desired_goal", "rad", "0.1 s"):
        assert word in out
