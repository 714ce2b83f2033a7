"""The agent: observation and goal image to action."""

from goalsight.agent.agent import Agent
from goalsight.agent.config import ActorUse, AgentConfig, CostConfig, SequenceConfig

__all__ = ["ActorUse", "Agent", "AgentConfig", "CostConfig", "SequenceConfig"]
