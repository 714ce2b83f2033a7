"""Turns what a user can mend into one line; whatever it does not know is a bug and stays loud."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Iterable
from difflib import get_close_matches

from goalsight.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FULL_WORDS = re.compile(
    r"no space left on device|disk quota exceeded"
    r"|inline_container.*unexpected pos"  # torch.save
    r"|^\d+ requested and \d+ written",  # numpy.save
    re.IGNORECASE,
)
_NO_ENVIRONMENT = re.compile(
    r"Malformed environment ID|No module named .* Environment registration via importing"
)
_OF_THE_ENVS = (
    ("goalsight_envs.gl", "GLError"),
    ("goalsight_envs.foreign.errors", "WrapError"),
)
"""Errors for the user of a package that knows nothing of `UserError`."""
_MENDABLE = {
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
}


LONGEST_WORD = 240
"""Characters of a word, such as a path, that a line of an error shows."""
_LISTED = re.compile(
    r"\b(?:no|unknown) [^';]*'(?P<typed>[^']+)'.*?"
    r"\b(?:there are|it has|one of|knows):? (?P<known>.+)"
)
"""How the house says that a name does not exist: the name in quotes, then those that do."""


def one_line(text: object) -> str:
    """The text with every run of blanks made one, and words too long to read cut in the middle."""
    return " ".join(map(_shortened, str(text).split()))


def _shortened(word: str) -> str:
    if len(word) <= LONGEST_WORD:
        return word
    half = LONGEST_WORD // 2
    return f"{word[:half]}...{word[-half // 4 :]} ({len(word)} characters)"


def close_to(typed: str, known: Iterable[str]) -> str:
    """`, did you mean ...?` where something known is spelled much like it; else nothing."""
    names = list(known)
    close = get_close_matches(typed, names, n=1, cutoff=0.6)
    close += [name for name in names if sorted(name) == sorted(typed)]  # letters changed places
    return f", did you mean {close[0]!r}?" if close else ""


def with_suggestion(line: str) -> str:
    """A line that lists what exists says first what was probably meant.

    >>> with_suggestion("no mix 'covver'; there are: branches, cover")
    "no mix 'covver', did you mean 'cover'? there are: branches, cover"
    """
    found = _LISTED.search(line)
    if found is None or "did you mean" in line:
        return line
    known = [name.strip(" ().") for name in re.split("[,;]", found["known"])]
    suggestion = close_to(found["typed"], known)
    if not suggestion:
        return line
    quoted = found.end("typed") + 1
    return line[:quoted] + suggestion + line[quoted:].lstrip(";,:")


def explain(error: BaseException) -> str | None:
    """What went wrong and what to do, in one line, or None for an error that is a bug of ours."""
    if isinstance(error, UserError) or any(_is(error, *home) for home in _OF_THE_ENVS):
        return with_suggestion(one_line(error))
    if _is(error, "gymnasium.error", "UnregisteredEnv") or _NO_ENVIRONMENT.match(str(error)):
        return _no_environment(error)
    if _disk_is_full(error):
        return "the disk is full: free some space and run the same command again"
    if isinstance(error, OSError) and error.errno in _MENDABLE:
        where = f": {error.filename}" if error.filename else ""
        return one_line(f"{error.strerror or error}{where}")
    return None


def _no_environment(error: BaseException) -> str:
    """What Gymnasium says of an id that it does not know, and the ids that it does."""
    known = known_environments()
    typed = re.search(r"`([^`]+)`|: (\S+)", str(error))
    close = close_to(typed[1] or typed[2], known) if typed else ""
    return f"{one_line(error)}{close or ';'} there are: {', '.join(known)}"


def known_environments() -> list[str]:
    """Ids of the tasks that goalsight registers with Gymnasium."""
    import gymnasium

    import goalsight_envs  # noqa: F401  (registers them)

    return sorted(name for name in gymnasium.registry if name.startswith("Goalsight/"))


def _is(error: BaseException, module: str, name: str) -> bool:
    """Whether this is an error of a module's class, without importing the module for it."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(error, kind)


def _disk_is_full(error: BaseException) -> bool:
    """Whether this error, or one it came from, is about a full disk, whichever library says so."""
    chain: BaseException | None = error
    while chain is not None:
        if getattr(chain, "errno", None) in _FULL or _FULL_WORDS.search(str(chain)):
            return True
        chain = chain.__cause__ or chain.__context__
    return False
