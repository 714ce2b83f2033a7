"""Planners to measure the product's by, and problems whose optimum is known.

Adam needs a differentiable cost, CMA-ES waits for the host in every generation: references, not
planners for a control loop.
"""

from benchmarks.planners.adam import AdamConfig, adam
from benchmarks.planners.cma_es import CMAESConfig, cma_es
from goalsight_planners import PLANNERS as _PRODUCT
from goalsight_planners.registry import Entry

PLANNERS = {
    **_PRODUCT,
    "adam": Entry(adam, AdamConfig),
    "cma_es": Entry(cma_es, CMAESConfig),
}
"""Those of the product and the references, by name."""

__all__ = ["PLANNERS", "AdamConfig", "CMAESConfig", "adam", "cma_es"]
