"""The reference says what the program says: every command, every setting, every module."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

import pytest
from scripts import reference

from goalsight.agent import AgentConfig
from goalsight.cli.commands import COMMANDS
from goalsight.models import WorldModelConfig


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return reference.pages()


def test_every_command_has_its_help_and_its_example(pages: dict[str, str]) -> None:
    text = pages["commands.md"]
    for name in COMMANDS:
        part = text.partition(f"## goalsight {name}\n")[2].partition("\n## ")[0]
        assert f"usage: goalsight {name}" in part
        assert "example:" in part, name
    assert "--objective.anti-collapse" in text
    assert "--trainer." not in text.partition("## goalsight pretrain")[0]


@pytest.mark.parametrize("config", [AgentConfig, WorldModelConfig])
def test_every_setting_has_default_and_meaning(pages: dict[str, str], config: type) -> None:
    part = pages["settings.md"].partition(f"### {config.__name__}\n")[2].partition("\n###")[0]
    for field in fields(config):
        row = re.search(rf"^\| `{field.name}` \| (.+?) \| (.*) \|$", part, re.MULTILINE)
        assert row is not None, field.name
        assert row[1], f"{field.name} has no default"
        assert row[2].strip(), f"{field.name} has no text below it"


def test_a_setting_without_a_default_is_required() -> None:
    @dataclass
    class OwnConfig:
        """Settings of a test."""

        width: int
        """Numbers a latent has."""
        near: float = 0.5
        """Distance that counts [m]."""

    text = reference.settings_table(OwnConfig)
    assert "| `width` | required | Numbers a latent has. |" in text
    assert "| `near` | `0.5` | Distance that counts [m]. |" in text


def test_every_public_module_is_on_one_page(pages: dict[str, str]) -> None:
    shown = re.findall(r"^::: (\S+)$", "".join(pages.values()), re.MULTILINE)
    assert len(shown) == len(set(shown))
    assert {"goalsight.agent.agent", "goalsight.clip", "goalsight_envs.push"} <= set(shown)
    assert not [name for name in shown if ".cli." in f"{name}."]


def test_doctests_are_shown_as_examples() -> None:
    doctests = pytest.importorskip("scripts.doctests", reason="needs the extra docs")
    found = doctests.under_examples("Doubles.\n\n>>> double(2)\n4")
    assert found == "Doubles.\n\nExamples:\n    >>> double(2)\n    4"
    assert doctests.under_examples("Doubles.") == "Doubles."
