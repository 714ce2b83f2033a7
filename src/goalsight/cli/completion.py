"""`goalsight completion`: a script that completes commands, flags and choices at the shell.

The script holds every name, so that the shell starts no program to complete one.
"""

from __future__ import annotations

import argparse
import re
from contextlib import redirect_stdout
from io import StringIO
from typing import Any, Literal

from goalsight.cli.commands import COMMANDS, Command
from goalsight.cli.main import main
from goalsight.errors import UserError


def completion(shell: Literal["bash", "zsh", "tcsh"]) -> None:
    """Print a script for a shell to source; it completes commands, flags and choices.

    Args:
        shell: Which one.

    Raises:
        UserError: if shtab is not installed.

    Example:
        goalsight completion bash >> ~/.bashrc
        goalsight completion zsh > ~/.zfunc/_goalsight
    """
    try:
        import shtab
    except ImportError:
        raise UserError(
            "completion needs shtab; install with: pip install 'goalsight[completion]'"
        ) from None
    print(shtab.complete(command_tree(), shell))


def command_tree() -> argparse.ArgumentParser:
    """Every command with its flags as one parser of nested commands, for completion alone."""
    import shtab

    top = argparse.ArgumentParser(prog="goalsight", description="goalsight")
    commands = top.add_subparsers()
    groups: dict[str, argparse._SubParsersAction[argparse.ArgumentParser]] = {}
    for command in COMMANDS.values():
        group, _, member = command.name.partition(" ")
        parent = commands
        if member:
            if group not in groups:
                named = f"commands of {group}"
                groups[group] = commands.add_parser(group, help=named).add_subparsers()
            parent = groups[group]
        parser = parent.add_parser(member or group, help=command.summary, description=" ")
        for name, choices in arguments(command).items():
            action: Any = parser.add_argument(name, choices=choices or None)
            if not choices:
                action.complete = shtab.FILE
    return top


def arguments(command: Command) -> dict[str, list[str]]:
    """What a command takes, as its own help says it: flags, and what has a few choices.

    Returns:
        Choices by flag, none where any value will do; under `choice` those of an argument given by
        its place.
    """
    said = StringIO()
    with redirect_stdout(said):
        main([*command.name.split(), "--help"])
    _, _, lists = said.getvalue().partition(" arguments:\n")
    lists = lists or said.getvalue()
    found: dict[str, list[str]] = {}
    pattern = r"^  (?:-\w, )?(--[a-z][\w.-]*|(?=\{))(?: ?\{([^}]*)\})?"
    for name, choices in re.findall(pattern, lists, re.MULTILINE):
        found[name or "choice"] = choices.split(",") if choices else []
    found.pop("--help", None)
    return found
