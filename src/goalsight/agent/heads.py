"""Heads that an agent's settings ask for."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from goalsight.errors import CheckpointError
from goalsight.models import WorldModel

Head = TypeVar("Head", bound=nn.Module)


def required_head(model: WorldModel, name: str, kind: type[Head], need: str, command: str) -> Head:
    """A head of a model.

    Args:
        model: to look in.
        name: of the head.
        kind: its class.
        need: what wants it, the beginning of the message.
        command: member of `goalsight head` that makes one.

    Raises:
        CheckpointError: if the model has none; says how to make one.
    """
    head = dict(model.heads.items()).get(name)
    if not isinstance(head, kind):
        raise CheckpointError(
            f"{need}, this one has none; make one with goalsight head {command} --checkpoint RUN "
            "--data DATA --out NEW_RUN"
        )
    return head
