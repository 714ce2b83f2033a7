"""The agent: observation and goal image to action."""

from goalsight.agent.agent import Agent
from goalsight.agent.config import AgentConfig

__all__ = ["Agent", "AgentConfig"]
