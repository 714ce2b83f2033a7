"""Turns what a user can mend into one line; whatever it does not know is a bug and stays loud."""

from __future__ import annotations

import errno
import re
import sys

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


def one_line(text: object) -> str:
    """The text with every run of blanks and line breaks made one blank."""
    return " ".join(str(text).split())


def explain(error: BaseException) -> str | None:
    """What went wrong and what to do, in one line, or None for an error that is a bug of ours."""
    if isinstance(error, UserError) or any(_is(error, *home) for home in _OF_THE_ENVS):
        return one_line(error)
    if _is(error, "gymnasium.error", "UnregisteredEnv") or _NO_ENVIRONMENT.match(str(error)):
        return f"{one_line(error)}; there are: {', '.join(known_environments())}"
    if _disk_is_full(error):
        return "the disk is full: free some space and run the same command again"
    if isinstance(error, OSError) and error.errno in _MENDABLE:
        where = f": {error.filename}" if error.filename else ""
        return one_line(f"{error.strerror or error}{where}")
    return None


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
