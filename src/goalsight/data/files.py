"""The old place of `goalsight.io`."""

from goalsight.io import replace_file, replace_json

__all__ = ["replace_file", "replace_json"]
