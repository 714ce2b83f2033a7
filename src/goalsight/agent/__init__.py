"""The agent: observation and goal image to action."""

from goalsight.agent.agent import Agent
from goalsight.agent.config import (
    ActorUse,
    AgentConfig,
    CostConfig,
    SequenceConfig,
    agent_config,
)
from goalsight.agent.shuffled import ShuffledAgent
from goalsight.agent.timing import Latencies, LatencySummary

__all__ = [
    "ActorUse",
    "Agent",
    "AgentConfig",
    "CostConfig",
    "Latencies",
    "LatencySummary",
    "SequenceConfig",
    "ShuffledAgent",
    "agent_config",
]
