"""`goalsight list` and `goalsight completion`: every name there is, and that each of them works."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from goalsight.agent.config import agent_config
from goalsight.checkpoint import find_checkpoint
from goalsight.cli.commands import COMMANDS
from goalsight.cli.completion import arguments, command_tree
from goalsight.cli.listing import KINDS, SECTIONS, settings
from goalsight.cli.main import main
from goalsight.data.collect import load_mix
from goalsight.paths import config_dir


def listed(capsys: pytest.CaptureFixture[str], *argv: str) -> list[dict[str, str]]:
    capsys.readouterr()
    assert main(["list", *argv, "--json"]) == 0
    found: list[dict[str, str]] = json.loads(capsys.readouterr().out)
    return found


def test_alone_it_shows_the_names_of_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    for kind in KINDS:
        assert kind in said
    assert "push-tiny" in said
    assert main(["list", "--json"]) == 0
    everything = json.loads(capsys.readouterr().out)
    assert list(everything) == list(KINDS)
    assert all(everything.values())


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_person_and_a_machine_read_the_same_names(
    capsys: pytest.CaptureFixture[str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    names = [entry["name"] for entry in listed(capsys, kind)]
    assert main(["list", kind]) == 0
    said = capsys.readouterr().out
    assert names
    assert all(name in said for name in names)


def test_what_is_listed_exists_and_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    for entry in listed(capsys, "mixes"):
        assert load_mix(entry["name"]).shares
    for entry in listed(capsys, "checkpoints"):
        assert find_checkpoint(entry["name"]).is_dir()
    for kind in ("mixes", "suites", "presets", "manifests", "checkpoints", "envs", "settings"):
        silent = [entry["name"] for entry in listed(capsys, kind) if not entry["about"]]
        assert silent == [], kind
    shipped = {path.stem for path in (config_dir() / "train").glob("*.yaml")}
    assert shipped <= {entry["name"] for entry in listed(capsys, "presets")}


def test_every_setting_of_an_agent_is_understood_with_its_default() -> None:
    """As `--settings` takes it; one of a single planner beside the name of that planner."""
    for entry in settings():
        if entry.name.startswith((*SECTIONS, "mix")) or not entry.default:
            continue
        planner = entry.about.rpartition("Of planner.kind=")[2].rstrip(".")
        beside = f"planner.kind={planner}," if "Of planner.kind=" in entry.about else ""
        agent_config(f"{beside}{entry.name}={entry.default}")


def test_completion_knows_every_command_its_flags_and_choices(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "goalsight.bash"
    script.write_text(capsys.readouterr().out)
    asked = "COMP_WORDS=(goalsight {}); COMP_CWORD={}; _shtab_goalsight; echo ${{COMPREPLY[@]}}"

    def complete(*words: str) -> list[str]:
        typed = " ".join(f"'{word}'" for word in words)
        line = f"source {script}; {asked.format(typed, len(words))}"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        assert not done.stderr
        return done.stdout.split()

    assert complete("col") == ["collect"]
    assert set(complete("data", "")) >= {"info", "merge", "validate"}
    assert complete("collect", "--episo") == ["--episodes"]
    assert complete("collect", "--video", "h") == ["h264"]
    assert complete("train", "--objective.sig")[:1] == ["--objective.sigreg"]
    assert complete("list", "man") == ["manifests"]


def test_arguments_are_those_of_the_help() -> None:
    found = arguments(COMMANDS["collect"])
    assert found["--video"] == ["h264", "none"]
    assert found["--fast-render"] == []
    assert "--help" not in found
    assert command_tree().prog == "goalsight"
