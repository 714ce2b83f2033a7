"""Somebody else's player behind `goalsight bench --player module:function`.

The function is called with the run's `PlayerSpec` (checkpoint, device, settings, memory, as they
were given) and returns a `Guest`: an `Agent`, or anything with an agent's two functions. What a
guest may say of itself besides, as attributes of an agent's names:

image_size                height and width of the pictures it sees [pixels]; 64
evaluations_per_decision  plans its model evaluates for a decision; 0
last_latency_s            seconds the last action took to decide, None if it was decided earlier;
                          by default every `act` is a decision and is timed here
checkpoint_sha256         of its weights; by default of the file that --checkpoint names, if any
labels_used               simulator labels it was trained with; by default nothing is said
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from goalsight.benchmark.tasks import task_of
from goalsight.environments import Env
from goalsight.errors import UserError
from goalsight.io import sha256_of

if TYPE_CHECKING:
    from goalsight.agent import Agent
    from goalsight.benchmark.rows import Observation, PlayerSpec

PLAYER = "player"
"""Name of the row."""
SIZE = 64
"""Pictures of a guest that says nothing of them [pixels]."""


class Guest(Protocol):
    """What plays: it sees the camera, the arm's proprio and the goal image, and nothing else."""

    def reset(self, goal: NDArray[np.uint8], seed: int) -> None:
        """Begin a pair.

        Args:
            goal: (H, W, 3) goal image.
            seed: of all that is random in what follows.
        """

    def act(self, pixels: NDArray[np.uint8], proprio: NDArray[np.float32]) -> NDArray[np.float32]:
        """The next action (A,) in [-1, 1] from a picture (H, W, 3) and proprio (Q,), SI units."""


class GuestPlayer:
    """A guest as the benchmark's row."""

    looks = True

    def __init__(self, guest: Guest, about: dict[str, Any]) -> None:
        """Play with a guest.

        Args:
            guest: who plays.
            about: what the results say of it, JSON values.
        """
        self._guest, self.about = guest, about
        self.image_size = int(getattr(guest, "image_size", SIZE))
        self._latency: float | None = None
        self._width: tuple[int, ...] = ()

    @property
    def evaluations_per_decision(self) -> int:
        """Plans evaluated for one decision, as the guest says."""
        return int(getattr(self._guest, "evaluations_per_decision", 0))

    @property
    def latency_s(self) -> float | None:
        """Seconds the last action took to decide."""
        return self._latency

    def begin(self, env: Env, stream: np.random.SeedSequence) -> None:
        """Show the guest its goal."""
        self._width = env.action_space.shape or ()
        self._guest.reset(task_of(env).goal_image(), int(stream.generate_state(1)[0]))

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """(A,) action.

        Raises:
            UserError: if the guest answers with another number of numbers, or with none.
        """
        began = time.perf_counter()
        answer = self._guest.act(observation["pixels"], observation["observation"])
        took = time.perf_counter() - began
        self._latency = getattr(self._guest, "last_latency_s", took)
        try:
            action = np.asarray(answer, np.float32)
        except (TypeError, ValueError):
            action = np.full(self._width, np.nan, np.float32)
        if action.shape != self._width or not np.isfinite(action).all():
            raise UserError(
                f"player {self.about['factory']} answers {answer!r}; an action here is an array "
                f"of {self._width[0]} finite numbers in [-1, 1]"
            )
        return action


def load_guest(spec: PlayerSpec) -> GuestPlayer:
    """Make the player that `spec.player` names.

    Raises:
        UserError: if there is no such module or function, or what it returns cannot play.
    """
    guest = _factory(spec.player)(spec)
    missing = [name for name in ("reset", "act") if not callable(getattr(guest, name, None))]
    if missing:
        raise UserError(
            f"player {spec.player} returned a {type(guest).__name__} without {missing[0]}; it "
            "needs reset(goal, seed) and act(pixels, proprio)"
        )
    return GuestPlayer(guest, _about(spec, guest))


def check_player(rows: tuple[str, ...], player: str) -> None:
    """Refuse the row without who plays it, and who plays it without the row.

    Raises:
        UserError: saying what to add.
    """
    if PLAYER in rows and not player:
        raise UserError("the player row needs --player module:function")
    if player and PLAYER not in rows:
        raise UserError(f"--player {player} plays the row {PLAYER}; add it to the rows")


def with_player(
    rows: tuple[str, ...], player: str, *, chosen: bool, checkpoint: Path | None
) -> tuple[str, ...]:
    """The rows of a table with a guest in it, if there is one.

    Args:
        rows: those without it.
        player: who it is; empty for nobody, and all stays as it is.
        chosen: whether the user named the rows; if not, the agent plays where it has a checkpoint.
        checkpoint: of the run; a file is the guest's, not the agent's.
    """
    if not player:
        return rows
    agent = chosen or (checkpoint is not None and not checkpoint.is_file())
    return (*(row for row in rows if row != PLAYER and (agent or row != "agent")), PLAYER)


def picture_size(agent: Agent | None, guest: GuestPlayer | None, default: int) -> int:
    """Height and width of the pictures of a run [pixels].

    Raises:
        UserError: if agent and guest want to see pictures of two sizes.
    """
    sizes = {one.image_size for one in (agent, guest) if one is not None}
    if len(sizes) > 1:
        raise UserError(
            f"agent and player see pictures of {' and '.join(map(str, sorted(sizes)))} pixels; "
            "bench them into two folders, and compare them with scripts/mcnemar.py"
        )
    return sizes.pop() if sizes else default


def _factory(name: str) -> Callable[[PlayerSpec], Any]:
    module, _, function = name.partition(":")
    if not (module and function):
        raise UserError(f"player {name!r} is not of the form module:function")
    try:
        found: Callable[[PlayerSpec], Any] = getattr(importlib.import_module(module), function)
    except (ModuleNotFoundError, AttributeError) as error:
        raise UserError(
            f"player {name!r}: {error}; give module:function of a module that Python can import "
            "here (its folder in PYTHONPATH), called with the run's PlayerSpec"
        ) from None
    return found


def _about(spec: PlayerSpec, guest: Guest) -> dict[str, Any]:
    """Who it is: what must not change between the parts of one run."""
    weights = getattr(guest, "checkpoint_sha256", None)
    if weights is None and spec.checkpoint is not None and spec.checkpoint.is_file():
        weights = _digest(spec.checkpoint)
    home = getattr(sys.modules[spec.player.partition(":")[0]], "__file__", None)
    return {
        "factory": spec.player,
        "source_sha256": None if home is None else _digest(Path(home)),
        "weights_sha256": weights,
        "memory_sha256": getattr(guest, "memory_sha256", None),
        "settings": spec.settings,
        "labels_used": getattr(guest, "labels_used", None),
    }


def _digest(path: Path) -> str:
    return sha256_of(path)
