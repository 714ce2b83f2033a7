"""Errors a user can mend: one line that says what is wrong and what to do.

The command line prints the message of a `UserError` and exits with status 2; anything else is a
bug of ours and keeps its traceback.
"""


class UserError(Exception):
    """Something the caller can put right; the message says how."""


class DatasetError(UserError):
    """A dataset is missing, damaged, or not of the kind that was asked for."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or does not fit what it is used with."""


class ManifestError(UserError):
    """A benchmark manifest is missing, damaged, or made for something else."""


class ImageError(UserError):
    """A picture cannot be read as a goal image."""


class OutputError(UserError):
    """A result cannot be written where it was asked for; nothing was overwritten."""


class MemoryFileError(UserError):
    """A memory of recorded latents is missing, damaged, or made with another encoder."""


class DataWarning(UserWarning):
    """Data can be used, and will not do what is hoped for; the message says why."""
