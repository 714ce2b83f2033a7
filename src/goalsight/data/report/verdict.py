"""Whether a dataset will support planning, and if not, why; reasons: docs/guides/collect.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from goalsight.data.report.measures import CELL_M, NEAR_M, Measures

PREDICTABLE = 0.6
"""R2 of the action from the state above which the action tells a model nothing new."""
MOVED = 0.10
"""Share of windows in which an object must move."""
CONTACT = 0.05
"""Share of control steps that must be in contact."""
COVERAGE = 0.5
"""Share of the workspace's cells that must have been visited."""
SPAN_M = 0.10
"""Least extent of the workspace along each of its two widest axes [m]."""
FRAMES = 20_000
"""Frames for a task with something to move."""
FRAMES_REACH = 5_000
"""Frames where only the arm moves."""
IDLE = 0.5
"""Share of control steps that may do nothing."""
SATURATED = 0.5
"""Share of action numbers that may be at a bound."""


@dataclass(frozen=True)
class Finding:
    """One thing that stands against planning with a dataset."""

    title: str
    """What is the matter, with the number."""
    why: str
    """Why it matters."""
    todo: str
    """What to do about it."""


def judge(measures: Measures) -> list[Finding]:
    """What stands against planning with a model trained on this dataset; empty if nothing does."""
    return [*_amount(measures), *_actions(measures), *_objects(measures), *_workspace(measures)]


def unknown(measures: Measures) -> list[str]:
    """What cannot be said about this dataset, and for want of what."""
    missing = []
    if measures.hand is None:
        missing.append(
            "Where the hand has been: no `state.ee_pos`, and no `ee_x`, `ee_y`, `ee_z` in the "
            "proprio."
        )
    if not measures.objects:
        missing.append(
            "Whether objects move, and contact: no object's position (`state.*_pos`) is recorded. "
            "Look at the strips below."
        )
    if not measures.predictable:
        missing.append("Whether the state gives the action away: there is no state to say it from.")
    if measures.success is None:
        missing.append("How many episodes succeed: no `next.success`.")
    return missing


def _amount(m: Measures) -> Iterator[Finding]:
    fixed = m.objects and all(np.ptp(o.places, axis=0).max() < 0.01 for o in m.objects)
    wanted = FRAMES_REACH if fixed else FRAMES
    if m.frames < wanted:
        yield Finding(
            f"{m.frames:,} frames are few",
            f"Below {wanted:,} every frame more still shows in how often a plan succeeds.",
            "Collect more episodes: the same command with a larger --episodes appends.",
        )
    short = float((m.lengths <= m.window).mean())
    branches = m.policies.get("branches", (0, 0))[0] / m.episodes
    if short - branches > 0.5:
        yield Finding(
            f"{100 * short:.0f} % of the episodes are no longer than a window of {m.window} steps",
            "A plan looks that far ahead; a model that has seen no such stretch guesses.",
            "Record longer episodes, or look at shorter windows with --window.",
        )


def _actions(m: Measures) -> Iterator[Finding]:
    if m.r2 is not None and m.r2 > PREDICTABLE:
        yield Finding(
            f"The state gives the action away (R2 {m.r2:.2f}, should be under {PREDICTABLE:g})",
            "A model learns what follows from the state without looking at the action; then all "
            "plans look alike to it. That is what experts' demonstrations alone do.",
            "Add play or noise: goalsight collect --mix cover, or noise on the actions of your own "
            "policy.",
        )
    if m.idle > IDLE:
        yield Finding(
            f"{100 * m.idle:.0f} % of the control steps ask for next to nothing",
            "Frames in which nothing happens teach nothing; an episode that waits is mostly such.",
            "Cut the waiting out, or shorten the episodes.",
        )
    if m.saturated > SATURATED:
        yield Finding(
            f"{100 * m.saturated:.0f} % of the action numbers are at a bound",
            "Plans in between are outside of what the model has seen.",
            "Draw slower speeds (`speed` of a mix), or widen the bounds of your robot's actions.",
        )


def _objects(m: Measures) -> Iterator[Finding]:
    # Where an object is a bystander in every episode, the task is to reach.
    if m.moved is not None and m.moved < MOVED:
        yield Finding(
            f"An object moves in {100 * m.moved:.0f} % of the windows (should be {100 * MOVED:.0f} "
            "or more)",
            "What seldom moves is background to a model; it will not plan to move it. No matter "
            "where the task is to move the arm alone.",
            "Collect interaction: goalsight collect --mix cover, or episodes that begin at an "
            "object.",
        )
    if m.contact is not None and m.contact < CONTACT:
        yield Finding(
            f"The hand is at an object (within {100 * NEAR_M:.0f} cm) in {100 * m.contact:.1f} % "
            "of the control steps",
            "How things respond to being touched is learned in contact and nowhere else.",
            "The same as for objects that seldom move.",
        )


def _workspace(m: Measures) -> Iterator[Finding]:
    spans = m.spans
    if spans is None or m.coverage is None:
        return
    widest = np.sort(spans)[-2:]
    if widest.min() < SPAN_M:
        yield Finding(
            f"The hand stays within {100 * widest[1]:.0f} x {100 * widest[0]:.0f} cm",
            "Goals outside of it are outside of what the model has seen.",
            "Record with waypoints all over the workspace.",
        )
    elif m.coverage < COVERAGE:
        yield Finding(
            f"The hand has been in {100 * m.coverage:.0f} % of the {100 * CELL_M:.0f} cm cells of "
            f"its own workspace (should be {100 * COVERAGE:.0f} or more)",
            "Between visited places a model interpolates over more than the distance that counts "
            "as success.",
            "Add waypoints (`waypoints` of a mix), or more episodes.",
        )
