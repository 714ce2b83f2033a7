"""Success rates one can trust: frozen pairs, identical for every row, with intervals."""

from goalsight.benchmark.manifest import Manifest, Pair, find_manifest, load_manifest, save_manifest
from goalsight.benchmark.results import Film, Outcome, Results, RowResult, load_results
from goalsight.benchmark.rows import ROWS
from goalsight.benchmark.runner import BenchmarkConfig, run_benchmark
from goalsight.benchmark.statistics import PairedTest, SuccessRate, mcnemar, success_rate

__all__ = [
    "ROWS",
    "BenchmarkConfig",
    "Film",
    "Manifest",
    "Outcome",
    "Pair",
    "PairedTest",
    "Results",
    "RowResult",
    "SuccessRate",
    "find_manifest",
    "load_manifest",
    "load_results",
    "mcnemar",
    "run_benchmark",
    "save_manifest",
    "success_rate",
]
