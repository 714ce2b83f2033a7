"""Workers on a Ray cluster: the same pairs, played on other machines.

Ray is an optional extra (`pip install 'goalsight[ray]'`). Only finished pairs come back, the
calling process writes them: the machines need goalsight and the checkpoint at the same path, but
not the folder of the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from goalsight.benchmark.workers import Job, Played, Worker, one_thread
from goalsight.errors import UserError

LOCAL = "local"
"""Address of a Ray of one's own, started on this machine and ended with the process."""


def play_on_ray(
    job: Job, items: Sequence[tuple[str, int]], workers: int | None, address: str
) -> Iterator[Played]:
    """Play (row, pair) items in actors of a Ray cluster; what they played comes as it finishes.

    Args:
        job: what is played.
        items: rows and numbers of pairs.
        workers: actors, each on one processor of the cluster; None: as many as it has.
        address: of the cluster as `ray.init` takes it, such as `auto` or `ray://host:10001`;
            `local` starts one of that many processors on this machine.

    Raises:
        UserError: if Ray is not installed, no cluster answers, or a machine of it was lost; what
            was yielded before stands.
    """
    ray = _connected(address, workers)
    from ray.util import ActorPool

    processors = max(1, int(ray.cluster_resources().get("CPU", 1)))
    count = min(processors, workers or len(items), len(items))
    actors = [_actor(ray, job, count) for _ in range(count)]
    try:
        pool = ActorPool(actors)
        yield from pool.map_unordered(lambda actor, item: actor.play.remote(*item), items)
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, UserError) else error from None
    except ray.exceptions.RayActorError as error:
        raise UserError(
            f"a Ray worker was lost ({_first_line(error)}); run the same command again, finished "
            "pairs are kept"
        ) from None
    finally:
        for actor in actors:
            ray.kill(actor)


class RemoteWorker(Worker):
    """A worker as Ray makes it, on one torch thread as everywhere."""

    def __init__(self, job: Job) -> None:
        """Make nothing yet but the thread."""
        one_thread(job)
        super().__init__(job)


def _actor(ray: ModuleType, job: Job, count: int) -> Any:  # noqa: ANN401  (Ray has no type for it)
    """A worker on one processor and, where the agent wants one, its part of an accelerator."""
    options: dict[str, float] = {"num_cpus": 1}
    if job.spec.device.startswith("cuda"):
        options["num_gpus"] = min(1.0, ray.cluster_resources().get("GPU", 0.0) / count)
    return ray.remote(**options)(RemoteWorker).remote(job)


def _connected(address: str, workers: int | None) -> ModuleType:
    """Ray, connected; a second call in one process stays with the first one's cluster."""
    try:
        import ray
    except ImportError:
        raise UserError("--ray needs Ray: pip install 'goalsight[ray]'") from None
    if not ray.is_initialized():
        own = {"num_cpus": workers, "include_dashboard": False} if address == LOCAL else {}
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error", **own)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(
                f"no Ray cluster at {address} ({_first_line(error)}); start one with `ray start "
                f"--head`, or give --ray {LOCAL}"
            ) from None
    module: ModuleType = ray
    return module


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
