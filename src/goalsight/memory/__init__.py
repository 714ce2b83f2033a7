"""What was recorded, as latents: where a recorded episode led from here to near there.

`goalsight memory build` encodes a dataset once; `goalsight.memory.build` does that and is the only
part that knows datasets. An agent with a memory finds the segment that leads from near the present
to near its goal and aims at a frame on it that its model can plan to.
"""

from goalsight.memory.search import ExactSearch, LibrarySearch, Search, search_for
from goalsight.memory.store import Memory, encoder_digest, load_memory
from goalsight.memory.subgoals import Aim, Segment, SubgoalConfig, SubgoalFinder

__all__ = [
    "Aim",
    "ExactSearch",
    "LibrarySearch",
    "Memory",
    "Search",
    "Segment",
    "SubgoalConfig",
    "SubgoalFinder",
    "encoder_digest",
    "load_memory",
    "search_for",
]
