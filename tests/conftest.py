"""What all tests share: a slow moment of a busy machine is not a failure of a law."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("goalsight", deadline=None)
settings.load_profile("goalsight")
