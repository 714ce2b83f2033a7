"""Builds a command's parser from its function: signature, Google docstring, example.

Parameters that may be given by position become positional arguments, keyword-only ones become
flags. Flags are typed with dashes; `--config FILE` reads the same fields from YAML, and
`--print_config` writes them. What several values may be given for is typed with commas, or with the
flag again: `--rows random,expert` is `--rows random --rows expert`.
"""

from __future__ import annotations

import inspect
import math
import re
from argparse import HelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import dedent, indent
from typing import Any, NoReturn

import docstring_parser
import jsonargparse
from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from goalsight.cli.errors import close_to, one_line
from goalsight.errors import UserError

_SECTIONS = ("Args:", "Example:", "Examples:", "Returns:", "Raises:", "Yields:", "Note:")
JOINED = frozenset(
    {"axes", "cameras", "only", "rows", "settings", "skip", "variables", "violations"}
)
"""Flags whose text is a list of names; given several times they add up."""
LONGEST = 4000
"""Characters of a value at most; what a file system takes."""
LIMITS: dict[str, tuple[int, int]] = {
    "seed": (0, 2**32 - 1),
    "seed_everything": (0, 2**32 - 1),
    "blocks": (1, 1000),
    "budget": (1, 1_000_000),
    "episodes": (1, 10_000_000),
    "frames": (1, 10_000_000),
    "goal_blocks": (1, 1000),
    "grid": (2, 1000),
    "members": (1, 1000),
    "moments": (1, 10_000_000),
    "pairs": (1, 1_000_000),
    "plans": (1, 1_000_000),
    "size": (1, 4096),
    "steps": (1, 10_000_000),
    "threads": (1, 1024),
    "window": (1, 1_000_000),
    "windows": (1, 10_000_000),
    "workers": (0, 1024),
}
"""Least and greatest number of flags by the last word of their name; a command may ask for more."""


class UsageError(UserError):
    """The command line itself is wrong."""


def usage_error(prog: str, message: object) -> UsageError:
    """An error that speaks of flags and types the way a user types them."""
    line = re.sub(r"<class '([\w.]+)'>|typing\.", r"\1", one_line(message))
    line = re.sub(r'Parser key "([\w.]+)"', lambda found: with_dashes(f"--{found[1]}"), line)
    if choice := re.search(r"Literal\[(.*?)\].*Got value: (\S+)", line):
        line += close_to(choice[2], re.findall(r"'([^']*)'", choice[1]))
    return UsageError(f"{line} (see `{prog} --help`)")


class _Parser(ArgumentParser):
    """Raises one line instead of printing the usage; writes flags as they are best typed."""

    def parse_args(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        *rest: Any,  # noqa: ANN401
        **more: Any,  # noqa: ANN401
    ) -> Namespace:
        """Parse, and refuse what no command can mean: empty, endless, absurd."""
        _check_texts(self, list(args or []))
        parsed: Namespace = super().parse_args(args, *rest, **more)
        _check_numbers(parsed)
        return parsed

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise instead of exit; an unknown flag comes with the one that was probably meant."""
        unknown = re.match(r"[Uu]nrecognized arguments: (--[\w.-]+)", message)
        if unknown:
            known = [with_dashes(flag) for flag in self._option_string_actions]
            message += close_to(with_dashes(unknown[1]), known)
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


def _check_texts(parser: ArgumentParser, argv: list[str]) -> None:
    """Refuse an empty value where one is needed, and one that no file system would take.

    Raises:
        ValueError: if there is such a value.
    """
    flag = ""
    for word in argv:
        name, equals, value = word.partition("=") if word.startswith("--") else (flag, "=", word)
        flag = "" if equals else name
        if not equals:
            continue
        shown = with_dashes(name.rstrip("+")) or "an argument"
        if len(value) > LONGEST:
            raise ValueError(f"{shown} has {len(value)} characters, at most {LONGEST} are read")
        action = parser._option_string_actions.get(name.rstrip("+"))
        if not value.strip() and (action is None or action.default != ""):
            raise ValueError(f"{shown} is empty; give a value or leave it out")


def _check_numbers(parsed: Namespace) -> None:
    """Refuse numbers that are no use to any command.

    Raises:
        ValueError: if there is one.
    """
    for name, value in vars(parsed.as_flat()).items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        flag = with_dashes(f"--{name}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{flag} must be a finite number, got {value}")
        last = name.rpartition(".")[2]
        if last not in LIMITS or name.startswith("trainer."):
            continue
        low, high = LIMITS[last]
        if value < low:
            raise ValueError(f"{flag} must be at least {low}, got {value}")
        if value > high:
            raise ValueError(f"{flag} must be at most {high}, got {value}")


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
    """Arguments as the parser knows them; a flag of several values adds to those given before."""
    parameters = inspect.signature(function).parameters
    several = [name for name, item in parameters.items() if str(item.annotation)[:5] == "list["]
    lists = {f"--{name}" for name in several}
    joined = {f"--{name}" for name in JOINED & set(parameters)} - lists
    known: list[str] = []
    place: dict[str, int] = {}
    words = [with_underscores(word) for word in argv]
    while words:
        word = words.pop(0)
        flag, equals, value = word.partition("=")
        if flag not in lists | joined or not (equals or (words and not words[0].startswith("--"))):
            known.append(word)
            continue
        value = value if equals else words.pop(0)
        if flag in lists:
            known += [f"{flag}+={part}" for part in _parts(value)]
        elif flag in place and value:
            known[place[flag]] += f",{value}"
        else:
            place[flag] = len(known)
            known.append(f"{flag}={value}")
    return known


def _parts(value: str) -> list[str]:
    """Values that commas separate; a path that has one in its name stays whole."""
    return [value] if len(value) > LONGEST or Path(value).exists() else value.split(",")


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
    if isinstance(named.get("device"), str):
        from goalsight.devices import resolve_device

        named["device"] = resolve_device(named["device"])
    positional = [named.pop(str(name)) for name in _positional(function)]
    return positional, named
