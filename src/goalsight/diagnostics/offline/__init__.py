"""What can be said of a model without a robot and without a simulator: by held-out logs alone.

Three questions: how far its imagination strays (`drift`), whether it knows which action led from
one frame to another (`recover_actions`, `planned_actions`), and whether its cost prefers what was
really done (`rank_plans`). None of them is a success rate, and none replaces one.
"""

from goalsight.diagnostics.offline.evaluation import OfflineReport, draw_offline, evaluate_offline
from goalsight.diagnostics.offline.moments import Moments, gather_moments
from goalsight.diagnostics.offline.ranking import RankReport, rank_plans
from goalsight.diagnostics.offline.recovery import (
    RecoveryReport,
    planned_actions,
    recovered_actions,
    recovery_report,
)

__all__ = [
    "Moments",
    "OfflineReport",
    "RankReport",
    "RecoveryReport",
    "draw_offline",
    "evaluate_offline",
    "gather_moments",
    "planned_actions",
    "rank_plans",
    "recovered_actions",
    "recovery_report",
]
