"""The command `goalsight`: finds the command, parses its arguments, reports errors in one line."""

from __future__ import annotations

import os
import sys
import warnings

from goalsight import __version__
from goalsight.cli.commands import COMMANDS, GONE, Command, members
from goalsight.cli.errors import explain
from goalsight.errors import UserError

USER_ERROR, INTERRUPTED = 2, 130
"""Exit statuses: something the user can mend; stopped with Ctrl-C."""

_OVERVIEW = """goalsight {version}: show the arm a picture; it plans how to get there.

usage: goalsight COMMAND [arguments]

{commands}

`goalsight COMMAND --help` explains a command and shows an example. Lists are typed with commas.
New here? `goalsight doctor` checks this machine, `goalsight demo` shows everything in minutes."""


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: what follows `goalsight`; None takes it from the process.

    Returns:
        Exit status: 0, or 2 after one line on stderr for what the user can mend, or 130 after
        Ctrl-C. Errors that are bugs of ours are not caught.
    """
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt as stopped:
        print(f"goalsight: stopped; {str(stopped) or 'what was finished is kept'}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        print(f"goalsight: error: {line}", file=sys.stderr)
        return USER_ERROR


def entry() -> None:
    """What the installed program calls."""
    plain = warnings.formatwarning

    def in_a_line(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        line: str | None = None,
    ) -> str:
        if category.__module__.startswith("goalsight"):
            return f"goalsight: warning: {message}\n"
        return plain(message, category, filename, lineno, line)

    warnings.formatwarning = in_a_line
    sys.exit(main())


def _run(argv: list[str]) -> int:
    """Dispatch on the first words."""
    if not argv or argv[0] in {"-h", "--help", "help"}:
        print(overview())
        return 0
    if argv[0] == "--version":
        print(f"goalsight {__version__}")
        return 0
    found = _find(argv)
    if found is None:
        print(_group_overview(argv[0]))
        return 0
    command, rest = found
    try:
        return _call(command, rest)
    except SystemExit as done:  # --help and --print_config end a parser
        return done.code if isinstance(done.code, int) else int(done.code is not None)


def _call(command: Command, argv: list[str]) -> int:
    """Parse the arguments of one command and run it."""
    function = command.load()
    if command.raw:
        return function(argv) or 0
    from goalsight.cli.parsing import parse

    positional, named = parse(f"goalsight {command.name}", function, argv)
    return function(*positional, **named) or 0


def _find(argv: list[str]) -> tuple[Command, list[str]] | None:
    """The command that argv names and its arguments, or None if a group's help is asked for.

    Raises:
        UserError: if there is no such command; lists those that exist, or says where it went.
    """
    for name in (" ".join(argv[:2]), argv[0]):
        if name in GONE:
            raise UserError(f"`goalsight {name}` {GONE[name]}")
    if argv[0] in COMMANDS:
        return COMMANDS[argv[0]], argv[1:]
    group = members(argv[0])
    if not group:
        known = ", ".join(dict.fromkeys(name.split()[0] for name in COMMANDS))
        raise UserError(f"no command {argv[0]!r}{_member_of(argv[0])} there are: {known}")
    if len(argv) == 1 or argv[1] in {"-h", "--help"}:
        return None
    name = f"{argv[0]} {argv[1]}"
    if name not in COMMANDS:
        known = ", ".join(command.name for command in group)
        raise UserError(f"no command {name!r}; there are: {known}")
    return COMMANDS[name], argv[2:]


def _member_of(word: str) -> str:
    """Where a command is that was typed without its group, such as `merge`."""
    full = [name for name in COMMANDS if name.endswith(f" {word}")]
    return f", did you mean `goalsight {full[0]}`?" if len(full) == 1 else ";"


def overview() -> str:
    """What `goalsight` alone prints: every command with its summary."""
    return _OVERVIEW.format(version=__version__, commands=_table(list(COMMANDS.values())))


def _group_overview(group: str) -> str:
    """What `goalsight data` alone prints."""
    return f"usage: goalsight {group} COMMAND [arguments]\n\n{_table(members(group))}"


def _table(commands: list[Command]) -> str:
    """Names and summaries in two columns."""
    width = max(len(command.name) for command in COMMANDS.values())
    return "\n".join(f"  {command.name:<{width}}  {command.summary}" for command in commands)


if __name__ == "__main__":
    entry()
