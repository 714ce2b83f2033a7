"""The error of everything that cannot be wrapped; the command line prints it as one line."""


class WrapError(ValueError):
    """An environment lacks something that planning to goal images needs; the message says what."""


class WrapWarning(UserWarning):
    """An environment can be wrapped, and something of it will surprise; the message says what."""
