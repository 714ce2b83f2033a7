"""Success rates one can trust: frozen pairs, identical for every row, with intervals.

`goalsight.evaluate` measures a policy on a manifest. For research of your own, `play_pair` plays
one frozen pair in this process and says what happened:

    manifest = load_manifest(find_manifest("push-near"))
    env = make_env(manifest.env, size=64)
    with one_thread():
        played = [play_pair(env, policy, manifest, pair)[0] for pair in range(20)]
    print(success_rate(np.array([outcome.terminal for outcome in played])))
"""

from goalsight.benchmark.manifest import Manifest, Pair, find_manifest, load_manifest, save_manifest
from goalsight.benchmark.policies import ROWS, PolicySpec
from goalsight.benchmark.results import (
    Film,
    Outcome,
    PairedTest,
    Results,
    RowResult,
    SuccessRate,
    SuiteResults,
    load_results,
    load_suite_results,
    mcnemar,
    success_rate,
)
from goalsight.benchmark.run import BenchmarkConfig, one_thread, play_pair, run_benchmark
from goalsight.environments import make_env
from goalsight.policy import Policy

__all__ = [
    "ROWS",
    "BenchmarkConfig",
    "Film",
    "Manifest",
    "Outcome",
    "Pair",
    "PairedTest",
    "Policy",
    "PolicySpec",
    "Results",
    "RowResult",
    "SuccessRate",
    "SuiteResults",
    "find_manifest",
    "load_manifest",
    "load_results",
    "load_suite_results",
    "make_env",
    "mcnemar",
    "one_thread",
    "play_pair",
    "run_benchmark",
    "save_manifest",
    "success_rate",
]
