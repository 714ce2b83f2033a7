"""Nearest recorded latents: exact, or through an index where there are too many to look at."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from goalsight.errors import UserError
from goalsight.memory.store import Memory

IndexKind = Literal["auto", "exact", "faiss"]
EXACT_BELOW = 100_000
"""Rows up to which looking at all of them takes about as long as asking an index."""
CANDIDATES = 768
"""Rows an index is asked for: the nearest few are of few episodes, and not every episode that was
near here came near the goal. Its codes rank roughly, so half again of the 512 wanted."""
LISTS_PROBED = 64
"""Of the index's about sqrt(F) lists; more find more of the nearest rows and take longer."""
CODES_FROM = 1000
"""Rows from which on codes can be learnt: 16 levels of every number need some 40 rows each."""


class Search(Protocol):
    """Finds recorded latents near another. Energies are mean squared distances over V numbers."""

    rows: Tensor
    """(F, V) the memory's latents, V = P x D."""
    device: torch.device
    """Where it computes."""

    def energy(self, query: Tensor, rows: Tensor | None = None) -> Tensor:
        """(n,) energy from a latent (V,) to some rows (n,), or to all."""

    def near(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """Rows (M,) in increasing order, among them those nearest to (V,), and their energies."""


class ExactSearch:
    """Looks at every row: one matrix product."""

    def __init__(self, memory: Memory, device: torch.device) -> None:
        """Hold the latents on a device."""
        self.rows, self.device = memory.latents.flatten(1).to(device), device
        self._norms = self.rows.square().sum(1)
        self._all = torch.arange(len(self.rows), device=device)

    def energy(self, query: Tensor, rows: Tensor | None = None) -> Tensor:
        """(n,) energy from a latent (V,) to some rows (n,), or to all."""
        if rows is not None:
            return (self.rows[rows] - query).square().mean(1)
        # Problem by problem, never as one product of many: the answer is then bit for bit the
        # same alone and in a batch.
        squares = self._norms - 2 * (self.rows @ query) + query.square().sum()
        return squares.clamp_min(0) / len(query)

    def near(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """All rows and their energies."""
        return self._all, self.energy(query)


class LibrarySearch(ExactSearch):
    """Asks an index of faiss for candidates and measures them exactly; on the CPU."""

    def __init__(self, memory: Memory, candidates: int = CANDIDATES) -> None:
        """Read the memory's index.

        Raises:
            ValueError: if the memory has none.
        """
        super().__init__(memory, torch.device("cpu"))
        if memory.index is None:
            raise ValueError("this memory has no index; use ExactSearch")
        import faiss

        self._index: Any = faiss.deserialize_index(memory.index.numpy())
        faiss.extract_index_ivf(self._index).nprobe = LISTS_PROBED
        self._candidates = min(candidates, memory.rows)

    def near(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """About `candidates` rows, nearly all of them the nearest, and their energies."""
        _, found = self._index.search(query[None].numpy(), self._candidates)
        rows = torch.from_numpy(found[0])
        rows = rows[rows >= 0].sort().values
        return rows, self.energy(query, rows)


def search_for(memory: Memory, device: torch.device | str = "cpu") -> Search:
    """The search that answers soonest here.

    On an accelerator that is the exact one, and so it is where the memory has no index or the
    index's library is not installed: slower on a CPU, never worse.

    Args:
        memory: to search.
        device: where the agent's model is.
    """
    device = torch.device(device)
    if device.type == "cpu" and memory.index is not None and find_spec("faiss"):
        return LibrarySearch(memory)
    return ExactSearch(memory, device)


def build_index(rows: Tensor, kind: IndexKind = "auto") -> tuple[str, Tensor | None]:
    """An index over latents, as its library writes it.

    Args:
        rows: (F, V) float32 latents on the CPU.
        kind: `auto` builds one above `EXACT_BELOW` rows if faiss is installed.

    Returns:
        Name of the library and the index as (bytes,) uint8; an empty name and None without one.

    Raises:
        UserError: if `faiss` is asked for and not installed.
    """
    installed = find_spec("faiss") is not None
    if kind == "faiss" and not installed:
        raise UserError("--index faiss needs its library: pip install 'goalsight[memory]'")
    if kind == "exact" or (kind == "auto" and (len(rows) <= EXACT_BELOW or not installed)):
        return "", None
    import faiss

    index: Any = faiss.index_factory(rows.shape[1], index_factory(*rows.shape))
    lists = faiss.extract_index_ivf(index).nlist
    # k-means of a fixed seed on an evenly spread part: the same rows give the same index.
    index.cp.niter, index.cp.max_points_per_centroid, index.cp.seed = 8, 64, 0
    index.train(rows[:: max(1, len(rows) // (64 * lists))].numpy())
    index.add(rows.numpy())
    return "faiss", torch.from_numpy(faiss.serialize_index(index))


def index_factory(rows: int, numbers: int) -> str:
    """What kind of index, in faiss's words.

    An inverted file whose rows are coded with 4 bits a number, relative to their list's centre, and
    compared by look-up tables in registers (Andre et al. 2017, arXiv:1704.07355). On a million
    latents that is three times quicker than comparing the rows themselves, a sixth of the size, and
    the candidates, measured exactly afterwards, miss no more of the nearest rows.

    Args:
        rows: F of the memory.
        numbers: V of a latent.
    """
    lists = max(1, min(round(rows**0.5), rows // 40))
    return f"IVF{lists}," + (f"PQ{numbers}x4fs" if rows >= CODES_FROM else "Flat")
