"""Builds a command's parser from its function: signature, Google docstring, example.

Parameters that may be given by position become positional arguments, keyword-only ones become
flags. Flags are typed with dashes; `--config FILE` reads the same fields from YAML, and
`--print_config` writes them.
"""

from __future__ import annotations

import inspect
import re
from argparse import HelpFormatter
from collections.abc import Callable
from textwrap import dedent, indent
from typing import Any, NoReturn

import docstring_parser
import jsonargparse
from jsonargparse import ArgumentParser, DefaultHelpFormatter

from goalsight.cli.errors import one_line
from goalsight.errors import UserError

_SECTIONS = ("Args:", "Example:", "Examples:", "Returns:", "Raises:", "Yields:", "Note:")


class UsageError(UserError):
    """The command line itself is wrong."""


def usage_error(prog: str, message: object) -> UsageError:
    """An error that speaks of flags and types the way a user types them."""
    line = re.sub(r"<class '([\w.]+)'>|typing\.", r"\1", one_line(message))
    line = re.sub(r'Parser key "([\w.]+)"', lambda found: with_dashes(f"--{found[1]}"), line)
    return UsageError(f"{line} (see `{prog} --help`)")


class _Parser(ArgumentParser):
    """Raises one line instead of printing the usage; writes flags as they are best typed."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise instead of exit."""
        raise usage_error(self.prog, message) from ex

    def format_help(self, formatter: HelpFormatter | None = None) -> str:
        """The help, with dashes in the flags."""
        text = super().format_help(formatter) if formatter else super().format_help()
        text = re.sub(r"<class\s+'([\w.]+)'>", r"\1", text)
        return re.sub(r"--[a-z][\w.]*", lambda found: with_dashes(found[0]), text)


class _Formatter(DefaultHelpFormatter):
    """Help whose description and example keep their lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "".join(f"{indent}{line}\n" for line in text.splitlines())


def with_dashes(option: str) -> str:
    """A flag with dashes in its words: `--init_std` becomes `--init-std`."""
    return option[:2] + option[2:].replace("_", "-")


def with_underscores(argument: str) -> str:
    """A flag as the parser knows it: `--init-std=1` becomes `--init_std=1`, values stay."""
    if not argument.startswith("--"):
        return argument
    flag, equals, value = argument[2:].partition("=")
    return f"--{flag.replace('-', '_')}{equals}{value}"


def sections(doc: str) -> dict[str, str]:
    """Split a Google docstring into its description (key "") and its sections by heading."""
    found: dict[str, list[str]] = {"": []}
    current = ""
    for line in doc.splitlines():
        if line.rstrip() in _SECTIONS:
            current = line.rstrip()
            found[current] = []
        else:
            found[current].append(line)
    return {name: dedent("\n".join(lines)).strip() for name, lines in found.items()}


def build_parser(prog: str, function: Callable[..., object]) -> ArgumentParser:
    """The parser of one command.

    Args:
        prog: what the user types, such as `goalsight collect`.
        function: the command, with annotations and a Google docstring that has an `Example:`.
    """
    doc = inspect.getdoc(function) or ""
    text = sections(doc)
    example = text.get("Example:") or text.get("Examples:") or prog
    parser = _Parser(
        prog=prog,
        description=text[""],
        epilog=f"example:\n{indent(example, '  ')}",
        formatter_class=_Formatter,
        default_env=False,
    )
    parser.add_argument("--config", action="config", help="Read the arguments from a YAML file.")
    signature = inspect.signature(function).parameters
    positional: set[str | int] = {*_positional(function)}
    switches = {name for name, item in signature.items() if item.default is False}
    named: set[str | int] = {name for name in signature if name not in positional}
    if positional:
        parser.add_function_arguments(function, as_group=False, as_positional=True, skip=named)
    parser.add_function_arguments(function, as_group=False, skip=positional | switches)
    explained = {item.arg_name: item.description for item in docstring_parser.parse(doc).params}
    for name in sorted(switches):
        parser.add_argument(f"--{name}", action="store_true", help=explained.get(name))
    return parser


def _as_known(function: Callable[..., object], argv: list[str]) -> list[str]:
    """Arguments as the parser knows them; a flag of a list adds to it each time it is given."""
    lists = {
        f"--{name}"
        for name, item in inspect.signature(function).parameters.items()
        if str(item.annotation).startswith("list[")
    }
    known = []
    for argument in map(with_underscores, argv):
        flag, equals, value = argument.partition("=")
        known.append(f"{flag}+{equals}{value}" if flag in lists else argument)
    return known


def _positional(function: Callable[..., object]) -> list[str]:
    """Names of the parameters that may be given by position, in order."""
    parameters = inspect.signature(function).parameters.values()
    return [item.name for item in parameters if item.kind != inspect.Parameter.KEYWORD_ONLY]


def parse(
    prog: str, function: Callable[..., object], argv: list[str]
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments to call a command with.

    Args:
        prog: what the user types, such as `goalsight collect`.
        function: the command.
        argv: what follows `prog`.

    Returns:
        Positional arguments in order, and the rest by name.

    Raises:
        UsageError: if a flag is unknown, a value does not fit its type, or a config refuses it.
        SystemExit: with status 0 after `--help` or `--print_config`.
    """
    parser = build_parser(prog, function)
    try:
        config = parser.parse_args(_as_known(function, argv))
        ready = parser.instantiate(config)
    except (ValueError, TypeError, jsonargparse.ArgumentError) as error:
        raise usage_error(prog, error) from error
    named: dict[str, Any] = {
        name: ready[name] for name in inspect.signature(function).parameters if name in ready
    }
    positional = [named.pop(str(name)) for name in _positional(function)]
    return positional, named
