"""A world model of your own behind goalsight's agent, planners and benchmark.

    PYTHONPATH=examples goalsight bench --player own_model:player --checkpoint theirs.pt \
      --manifest push-near-dev --out runs/theirs

`TheirModel` knows nothing of goalsight: floats in [0, 1], channels last, one action at a time.
`Eye` and `Dynamics` say the same in goalsight's shapes, and `player` is what the benchmark calls.
Without `--checkpoint` the weights are random: that shows how to put a model in, not one that plans.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from goalsight.agent import Agent
from goalsight.agent.config import agent_config
from goalsight.benchmark.policies import PolicySpec
from goalsight.checkpoint import Checkpoint
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.encoder import Encoder
from goalsight.models.predictor import Predictor


class TheirModel(nn.Module):
    """Yours goes here: pictures (N, 64, 64, 3) to states (N, 32), and a step from each."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Sequential(nn.Conv2d(3, 16, 8, 8), nn.ReLU(), nn.Flatten())
        self.to_state, self.change = nn.Linear(16 * 64, 32), nn.Linear(32 + 4, 32)

    def embed(self, images: Tensor) -> Tensor:
        """(N, 64, 64, 3) in [0, 1] to (N, 32)."""
        state: Tensor = self.to_state(self.see(images.movedim(-1, 1)))
        return state

    def step(self, state: Tensor, action: Tensor) -> Tensor:
        """(..., 32) states and (..., 4) actions to the (..., 32) states one control step later."""
        return state + torch.tanh(self.change(torch.cat((state, action), dim=-1)))


class Eye(Encoder):
    """(N, 3, H, W) uint8 pictures to (N, P, D) latents; here P = 1, one token a picture."""

    def __init__(self, theirs: TheirModel) -> None:
        super().__init__()
        self.theirs, self.patches, self.dim = theirs, 1, 32

    def forward(self, pictures: Tensor) -> Tensor:
        """See `Encoder.forward`."""
        return self.theirs.embed(pictures.movedim(1, -1) / 255)[:, None]


class Dynamics(Predictor):
    """(..., P, D) latents and (..., K, A) action blocks to the latents one block later."""

    def __init__(self, theirs: TheirModel) -> None:
        super().__init__()
        self.theirs = theirs

    def forward(
        self, z: Tensor, actions: Tensor, proprio: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """See `Predictor.forward`."""
        state = z.squeeze(-2)
        for action in actions.unbind(-2):
            state = self.theirs.step(state, action)
        return state[..., None, :], None


def player(spec: PolicySpec) -> Agent:
    """What `goalsight bench --player own_model:player` calls."""
    torch.manual_seed(0)
    theirs = TheirModel()
    if spec.checkpoint is not None:
        theirs.load_state_dict(torch.load(spec.checkpoint, "cpu", weights_only=True))
    weights = b"".join(value.numpy().tobytes() for value in theirs.state_dict().values())
    config = WorldModelConfig(image_size=64, action_dim=4, frameskip=5, inverse=False)
    model = WorldModel(config, own=(Eye(theirs), Dynamics(theirs))).to(spec.device).eval()
    # The unit of energy: the variance of your latents over your training data.
    card = {"statistics": {"latent": {"variance": 1.0}}, "labels_used": []}
    checkpoint = Checkpoint(model, model.config, card, hashlib.sha256(weights).hexdigest())
    return Agent(checkpoint, name="theirs", config=agent_config(spec.settings))
