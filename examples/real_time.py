"""Drive an arm in real time: the world does not wait while the agent thinks.

    python examples/real_time.py --checkpoint runs/demo/model

Every control step has its moment on a wall clock, 10 of them a second for the arm tasks. The agent
is given a part of that time to decide (`Agent.act(..., deadline=...)`) and returns the best plan it
has found by then. A control step that is not done when the next is due is a missed one.

Your own robot takes the place of `env` here: read the camera, ask the agent, send the action.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from goalsight.agent import Agent
from goalsight.agent.config import agent_config
from goalsight.environments import Env, make_env, task_of
from goalsight.errors import UserError


class TimedPolicy(Protocol):
    """A policy that can be told how long it may take to decide."""

    def act(
        self,
        pixels: NDArray[np.uint8],
        proprio: NDArray[np.float32],
        *,
        deadline: float | None = None,
    ) -> NDArray[np.float32]:
        """The next action."""


class WallClock:
    """Time as it passes."""

    def now(self) -> float:
        """Seconds since some moment."""
        return time.perf_counter()

    def wait_until(self, moment: float) -> None:
        """Return at this moment, at once if it has passed."""
        time.sleep(max(0.0, moment - self.now()))


@dataclass(frozen=True, kw_only=True)
class Drive:
    """How it went."""

    steps: int
    """Control steps."""
    missed: int
    """Control steps that were not done when the next was due."""
    busiest_s: float
    """Longest time from a step's moment to its end [s]."""
    took_s: float
    """All of them together [s]."""
    distance_m: float
    """To the goal at the end [m]."""


def drive(
    agent: TimedPolicy,
    env: Env,
    observation: dict[str, NDArray[Any]],
    *,
    steps: int,
    period: float,
    deadline: float,
    clock: WallClock,
) -> Drive:
    """Act for some control steps, each at its moment.

    Args:
        agent: with its goal set.
        env: freshly reset.
        observation: what `reset` returned.
        steps: control steps.
        period: from one to the next [s].
        deadline: time a decision may take [s].
        clock: to keep time by.
    """
    began = clock.now()
    missed, busiest, distance = 0, 0.0, float("nan")
    for step in range(steps):
        due = began + step * period
        clock.wait_until(due)
        action = agent.act(observation["pixels"], observation["observation"], deadline=deadline)
        observation, _, _, _, info = env.step(action)
        distance = float(info["distance"])
        busy = clock.now() - due
        missed += busy > period
        busiest = max(busiest, busy)
    return Drive(
        steps=steps,
        missed=missed,
        busiest_s=busiest,
        took_s=clock.now() - began,
        distance_m=distance,
    )


def report(done: Drive, agent: Agent, period: float, deadline: float) -> str:
    """What happened, in a few lines."""
    latency = agent.latencies.summary()
    return "\n".join(
        [
            (
                f"{done.steps} control steps at {1 / period:.0f} Hz in {done.took_s:.2f} s, "
                f"{done.missed} missed; the busiest took {1e3 * done.busiest_s:.0f} ms"
            ),
            (
                f"{latency.count} decisions of at most {1e3 * deadline:.0f} ms: p50 "
                f"{latency.p50_ms:.1f} ms, p95 {latency.p95_ms:.1f} ms, slowest "
                f"{latency.max_ms:.1f} ms, {latency.late} late"
            ),
            str(agent.latencies),
            f"{100 * done.distance_m:.1f} cm from the goal at the end",
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    """Drive a task of ours with a checkpoint; 1 if a control step was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="run folder or checkpoint")
    parser.add_argument("--env", default="Goalsight/Push-v0", help="id of the task")
    parser.add_argument("--steps", type=int, default=150, help="control steps")
    parser.add_argument("--hz", type=float, default=10.0, help="control steps a second")
    parser.add_argument("--deadline-ms", type=float, default=80.0, help="time for a decision [ms]")
    parser.add_argument("--settings", default="", help="of the agent, such as planner.samples=1000")
    parser.add_argument("--seed", type=int, default=0, help="of start, goal and search")
    parser.add_argument("--device", default="cpu", help="to plan on")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    try:
        config = agent_config(given.settings)
        agent = Agent.load(given.checkpoint, config=config, device=given.device)
    except UserError as error:
        print(f"real_time: {error}", file=sys.stderr)
        return 2
    env = make_env(given.env, size=agent.image_size, observe_pixels=True)
    observation, _ = env.reset(seed=given.seed)
    goal = task_of(env).goal_image()
    agent.reset(goal, given.seed)
    agent.act(
        observation["pixels"], observation["observation"]
    )  # libraries wake up here, not later
    agent.latencies.clear()
    agent.reset(goal, given.seed)
    period, deadline = 1 / given.hz, given.deadline_ms / 1e3
    done = drive(
        agent,
        env,
        observation,
        steps=given.steps,
        period=period,
        deadline=deadline,
        clock=WallClock(),
    )
    env.close()
    print(report(done, agent, period, deadline))
    return int(done.missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
