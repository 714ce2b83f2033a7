"""Possible and impossible events, staged in our own simulator as matched pairs.

Each pair shares the arm's movement, the actions and everything up to the event; only the cube
differs after it. Teleported and recoloured cubes come in fours as in IntPhys (Riochet et al. 2018,
arXiv:1803.07616): A stays A and B stays B are possible, A becomes B and B becomes A are not, so
that every picture is seen as often among the possible as among the impossible, and no look of a
single frame gives the answer away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from goalsight.clip import Clip
from goalsight.diagnostics.surprise import StagedEvent
from goalsight.errors import UserError
from goalsight_envs.placing import CUBE_REST
from goalsight_envs.policies.play import PlayConfig, PlayPolicy
from goalsight_envs.push import PushEnv

Violation = Literal["teleported", "recoloured", "frozen"]
VIOLATIONS: tuple[Violation, ...] = get_args(Violation)
"""What can be staged: the cube is suddenly elsewhere, has another colour, or stays where it is
although it is pushed."""

AFTER = 2
"""Frames that show the event, one block apart."""
BLUE = (0.10, 0.25, 0.93, 1.0)
"""The other colour."""
TAKE_STEPS = 100
"""Control steps of play in one take."""
TAKES_PER_PAIR = 3
"""Takes tried for each pair asked for before giving up."""
PUSHED_M = (0.012, 0.03)
"""A push moves the cube this far by the first, and by the last, frame after the event [m]."""
APART_M = 0.10
"""A teleported cube lands this far away at least [m]."""
CLEAR_M = 0.09
"""Horizontal distance a resting cube keeps from the fingertip [m]."""

Array = NDArray[np.float64]
Pictures = NDArray[np.uint8]
Pose = Array
"""(7,) position [m] and orientation (w, x, y, z) of the cube."""


@dataclass(frozen=True)
class _Take:
    """L control steps of play; row t is before action t, and states have one row more."""

    states: Array
    actions: NDArray[np.float32]
    proprio: NDArray[np.float32]
    cube: Array
    """(L + 1, 3) [m]."""
    fingertip: Array
    """(L + 1, 3) [m]."""


@dataclass(frozen=True)
class _Pair:
    """(T, H, W, 3) pictures of both endings."""

    possible: Pictures
    impossible: Pictures


class Stage:
    """The simulator, and what the camera sees of it when the cube is swapped behind its back."""

    def __init__(self, size: int, frameskip: int, seen: int) -> None:
        """Set the scene up.

        Args:
            size: height and width of the pictures [pixels].
            frameskip: K, control steps between two frames.
            seen: frames before the event.
        """
        self.env = PushEnv(size=size, observe_pixels=False)
        self.frameskip, self.seen = frameskip, seen
        self.frames = seen + AFTER
        self._pose = self._slice_of_cube()
        self._colour = self.env.model.geom("cube").rgba
        self._red = np.array(self._colour)

    def close(self) -> None:
        """Free the GL context."""
        self.env.close()

    def take(self, seed: int, number: int) -> _Take:
        """Play that mostly pushes the cube about."""
        rng = np.random.default_rng([seed, number])
        observation, _ = self.env.reset(seed=int(rng.integers(2**31)))
        policy = PlayPolicy(self.env, rng, PlayConfig(interact=0.6))
        states, actions, proprio, cube, fingertip = [], [], [], [], []
        for _ in range(TAKE_STEPS):
            action = policy.act()
            states.append(self.env.solver_state())
            cube.append(np.array(self.env.data.body("cube").xpos))
            fingertip.append(self.env.arm.fingertip(self.env.data))
            actions.append(action)
            proprio.append(observation["observation"])
            observation, *_ = self.env.step(action)
        return _Take(*(np.stack(rows) for rows in (states, actions, proprio, cube, fingertip)))

    def render(
        self, state: Array, pose: Pose | None = None, colour: tuple[float, ...] | None = None
    ) -> Pictures:
        """(H, W, 3) picture of a state, with the cube elsewhere or of another colour."""
        edited = state.copy()
        if pose is not None:
            edited[self._pose] = pose
        self._colour[:] = self._red if colour is None else colour
        self.env.restore(edited)
        picture = self.env.render()
        self._colour[:] = self._red
        return picture

    def pose_in(self, state: Array) -> Pose:
        """(7,) where the cube is in a full solver state."""
        return state[self._pose].copy()

    def rows(self, start: int) -> NDArray[np.int64]:
        """(T,) control steps of the frames of a scene that begins at `start`."""
        return start + self.frameskip * np.arange(self.frames)

    def _slice_of_cube(self) -> slice:
        first = self.env.state_layout["qpos"].start + int(self.env.model.joint("cube").qposadr[0])
        return slice(first, first + 7)


def stage(
    violation: Violation, *, pairs: int, size: int, frameskip: int, context: int = 1, seed: int = 0
) -> StagedEvent:
    """Stage a violation and its matched controls.

    Args:
        violation: which.
        pairs: how many; teleported and recoloured make two at a time.
        size: height and width of the pictures [pixels].
        frameskip: K, control steps between two frames.
        context: frames the model looks back; one more is shown before the event.
        seed: of everything random.

    Raises:
        UserError: if the play has too few moments that fit, or a number makes no sense.
    """
    if pairs < 1 or frameskip < 1 or (context + 1 + AFTER) * frameskip >= TAKE_STEPS:
        raise UserError(
            f"pairs and frameskip must be at least 1, and the frames fit into {TAKE_STEPS} control "
            f"steps; got {pairs} pairs, {frameskip} control steps a block, context {context}"
        )
    set_up = Stage(size, frameskip, context + 1)
    try:
        scenes = _SCENES[violation](set_up, seed, TAKES_PER_PAIR * pairs + 10)
        shown = list(islice(scenes, pairs))
    finally:
        set_up.close()
    if len(shown) < pairs:
        raise UserError(
            f"only {len(shown)} of {pairs} pairs could be staged ({violation}); ask for fewer"
        )
    takes = [(take, set_up.rows(start)) for _, take, start, _ in shown]
    return StagedEvent(
        violation=violation,
        event=set_up.seen,
        possible=_clip([pair.possible for pair, *_ in shown], takes, frameskip),
        impossible=_clip([pair.impossible for pair, *_ in shown], takes, frameskip),
        groups=np.array([group for *_, group in shown], np.int64),
    )


_Shown = tuple[_Pair, _Take, int, int]
"""A pair, the take it is from, the control step it begins at, and its group."""


def _frozen(set_up: Stage, seed: int, takes: int) -> Iterator[_Shown]:
    """The cube is pushed, or stays where it was when the push began to move it."""
    for number in range(takes):
        take = set_up.take(seed, number)
        for start in _starts(set_up, take, _is_pushed):
            states = take.states[set_up.rows(start)]
            pose = set_up.pose_in(states[set_up.seen - 1])
            real = np.stack([set_up.render(state) for state in states])
            held = [set_up.render(state, pose) for state in states[set_up.seen :]]
            impossible = np.concatenate([real[: set_up.seen], np.stack(held)])
            yield _Pair(real, impossible), take, start, number


def _teleported(set_up: Stage, seed: int, takes: int) -> Iterator[_Shown]:
    """A resting cube is suddenly elsewhere; the arm is clear of both places."""
    for number in range(takes):
        take = set_up.take(seed, number)
        rng = np.random.default_rng([seed, number, 1])
        for start in _starts(set_up, take, _is_resting):
            span = np.arange(start, set_up.rows(start)[-1] + 1)
            other = _free_place(set_up, take.cube[start], take.fingertip[span], rng)
            if other is None:
                continue
            states = take.states[set_up.rows(start)]
            here = np.stack([set_up.render(state) for state in states])
            there = np.stack([set_up.render(state, other) for state in states])
            for pair in _swap(here, there, set_up.seen):
                yield pair, take, start, number


def _recoloured(set_up: Stage, seed: int, takes: int) -> Iterator[_Shown]:
    """The cube, pushed or not, suddenly has another colour."""
    for number in range(takes):
        take = set_up.take(seed, number)
        for start in _starts(set_up, take, lambda *_: True):
            states = take.states[set_up.rows(start)]
            red = np.stack([set_up.render(state) for state in states])
            blue = np.stack([set_up.render(state, colour=BLUE) for state in states])
            for pair in _swap(red, blue, set_up.seen):
                yield pair, take, start, number


_SCENES: dict[Violation, Callable[[Stage, int, int], Iterator[_Shown]]] = {
    "teleported": _teleported,
    "recoloured": _recoloured,
    "frozen": _frozen,
}


def _swap(a: Pictures, b: Pictures, event: int) -> Iterator[_Pair]:
    """A stays A against A becomes B, and B stays B against B becomes A."""
    yield _Pair(a, np.concatenate([a[:event], b[event:]]))
    yield _Pair(b, np.concatenate([b[:event], a[event:]]))


def _starts(
    set_up: Stage, take: _Take, fits: Callable[[Stage, _Take, int], bool], most: int = 2
) -> list[int]:
    """Where scenes that fit begin in a take; at most two, so that many takes are used."""
    length = set_up.frameskip * (set_up.frames - 1) + 1
    found: list[int] = []
    for start in range(len(take.states) - length + 1):
        apart = not found or start >= found[-1] + length
        if apart and len(found) < most and fits(set_up, take, start):
            found.append(start)
    return found


def _is_pushed(set_up: Stage, take: _Take, start: int) -> bool:
    """Whether the cube moves along the table in the first block after the event and goes on."""
    cube = take.cube[set_up.rows(start)]
    moved = np.linalg.norm(cube[set_up.seen :] - cube[set_up.seen - 1], axis=1)
    still = np.linalg.norm(cube[set_up.seen - 1] - cube[0]) < PUSHED_M[1]
    return bool(still and moved[0] > PUSHED_M[0] and moved[-1] > PUSHED_M[1])


def _is_resting(set_up: Stage, take: _Take, start: int) -> bool:
    """Whether nothing touches the cube."""
    span = slice(start, int(set_up.rows(start)[-1]) + 1)
    cube, fingertip = take.cube[span], take.fingertip[span]
    away = np.linalg.norm((fingertip - cube)[:, :2], axis=1).min()
    return bool(np.ptp(cube, axis=0).max() < 1e-3 and away > CLEAR_M)


def _free_place(
    set_up: Stage, cube: Array, fingertip: Array, rng: np.random.Generator
) -> Pose | None:
    """(7,) a place on the table far from the cube and clear of the arm; None if none is found."""
    low, high = set_up.env.arm.low[:2] + 0.04, set_up.env.arm.high[:2] - 0.04
    for _ in range(50):
        place, half = rng.uniform(low, high), rng.uniform(-np.pi / 8, np.pi / 8)
        away = np.linalg.norm(fingertip[:, :2] - place, axis=1).min()
        if np.linalg.norm(place - cube[:2]) > APART_M and away > CLEAR_M:
            return np.array([*place, CUBE_REST, np.cos(half), 0, 0, np.sin(half)])
    return None


def _clip(
    pictures: list[Pictures], takes: list[tuple[_Take, NDArray[np.int64]]], frameskip: int
) -> Clip:
    """(N, T, ...) clip of pictures with the actions and proprio of their takes."""
    actions = [
        take.actions[rows[0] : rows[-1]].reshape(len(rows) - 1, frameskip, -1)
        for take, rows in takes
    ]
    proprio = [take.proprio[rows] for take, rows in takes]
    return Clip(
        torch.from_numpy(np.stack(pictures)).movedim(-1, -3).contiguous(),
        torch.from_numpy(np.stack(actions)).float(),
        torch.from_numpy(np.stack(proprio)).float(),
    )
