"""Plays a manifest: one pair, then every pair of every row, on any number of machines; the table.

`play_pair` is one pair in this process, `run_benchmark` all of them. The folder of a run:

manifest/             pairs that were drawn for this run, if it is not of a shipped manifest
run.json              what the run is of; a rerun with other settings is refused
pairs*.jsonl          one line a finished pair, in the order they finished
episodes/ROW-PAIR.npz pictures of a pair (see `Film`)
results.json          the table, written last

Every process that plays appends to a file of its own, which nobody else ever writes: `pairs.jsonl`,
`pairs-2-of-3.jsonl` for a shard, `pairs.2.jsonl` for what went on after a stop. So any number of
processes share a folder without locks, on network file systems too, and copying the folders of
several shards into one is merging them. Each line says which run it is of.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from goalsight.benchmark.manifest import FROZEN, Manifest
from goalsight.benchmark.policies import (
    PLAYER,
    ROWS,
    PolicySpec,
    check_player,
    check_policies,
    check_rows,
    default_rows,
    load_agent,
    own_metadata,
    own_policy,
    picture_size,
)
from goalsight.benchmark.results import (
    EPISODES,
    HOLD,
    LEARNED_ROWS,
    RESULTS,
    Film,
    Outcome,
    Results,
    command,
    compare,
    film_bytes,
    film_path,
    joined,
    metadata,
    outcome_from_json,
    row_result,
    stretches,
    to_json,
)
from goalsight.environments import Env, make_env, task_of
from goalsight.errors import CheckpointError, ManifestError, OutputError, UserError
from goalsight.executor import Executor
from goalsight.io import read_json, replace_file, replace_json, sha256
from goalsight.policy import (
    AgentPolicy,
    Observation,
    Policy,
    checked_action,
    evaluations_per_decision,
    needs_pixels,
    pair_seed,
)
from goalsight.progress import Progress, silent
from goalsight.provenance import cores, git_commit, hardware

if TYPE_CHECKING:
    from goalsight.agent import Agent

T = TypeVar("T")
Item = tuple[str, int]
"""A row and the number of a pair."""
RUN, PAIRS = "run.json", "pairs.jsonl"
SAME = 1e-4
"""Largest difference in a pair's distance [m] that rounding between platforms explains."""
Watch = Callable[[Observation, NDArray[np.float32] | None], None]
"""Called with what is seen at the start and after every control step, and with the action (A,) that
led there, None at the start."""
_ORIGIN = "origin"
"""Key of a line under which it says where it was played."""


# -- one pair ---------------------------------------------------------------------------------


def unwatched(observation: Observation, action: NDArray[np.float32] | None) -> None:
    """Watch nothing."""


def play_pair(
    env: Env,
    policy: Policy,
    manifest: Manifest,
    pair: int,
    *,
    row: str = PLAYER,
    seed: int = 0,
    film_every: int = 1,
    watch: Watch = unwatched,
) -> tuple[Outcome, Film]:
    """Play one pair to the end of its budget, in this process; success does not end it early.

    It plays as the benchmark does where PyTorch computes on one thread (`one_thread`).

    Args:
        env: an environment of the manifest's task; with `pixels` for a policy that sees.
        policy: who plays; what reads the simulator was made for this environment.
        manifest: the frozen pairs.
        pair: which pair.
        row: the policy's name in the table.
        seed: of the run; with `pair` it sets every random choice of the policy.
        film_every: control steps between two pictures.
        watch: told what is seen and done.

    Raises:
        ManifestError: if the pair does not fit this environment.
        UserError: if the policy answers with something that is no action.
    """
    start = _restore(env, manifest, pair)
    policy.reset(task_of(env).goal_image(), pair_seed(policy, seed, pair))
    return play_episode(
        env,
        policy,
        start,
        row=row,
        pair=pair,
        budget=manifest.budget,
        film_every=film_every,
        watch=watch,
    )


def play_episode(
    env: Env,
    policy: Policy,
    start: tuple[Observation, dict[str, Any]],
    *,
    row: str,
    pair: int,
    budget: int,
    film_every: int,
    watch: Watch = unwatched,
) -> tuple[Outcome, Film]:
    """Play an episode that has begun; success does not end it early.

    Args:
        env: at the start, its goal set.
        policy: who plays; it was reset and knows the goal.
        start: observation and info at the start.
        row: the policy's name, for the outcome.
        pair: number of the pair, for the outcome.
        budget: control steps.
        film_every: control steps between two pictures.
        watch: told what is seen and done.

    Raises:
        UserError: if the policy answers with something that is no action.
    """
    observation, info = start
    watch(observation, None)
    distances = [float(info["distance"])]
    inside: list[bool] = []
    latencies: list[float] = []
    frames, steps = [_picture(env, policy, observation)], [0]
    width = action_width(env)
    for step in range(1, budget + 1):
        began = time.perf_counter()
        answer = policy.act(observation)
        took = time.perf_counter() - began
        latency = getattr(policy, "last_latency_s", took)
        if latency is not None:
            latencies.append(1e3 * latency)
        action = checked_action(answer, width, f"row {row}")
        observation, _, _, _, info = env.step(action)
        watch(observation, action)
        distances.append(float(info["distance"]))
        inside.append(bool(info["is_success"]))
        if step % film_every == 0 or step == budget:
            frames.append(_picture(env, policy, observation))
            steps.append(step)
    outcome = Outcome(
        row=row,
        pair=pair,
        terminal=all(inside[-HOLD:]),
        anytime=any(inside),
        distance_m=tuple(round(distance, 6) for distance in distances),
        latency_ms=tuple(round(latency, 3) for latency in latencies),
        evaluations_per_decision=evaluations_per_decision(policy),
        inside=stretches(inside),
    )
    goal = task_of(env).goal_image()
    return outcome, Film(frames=np.stack(frames), steps=np.array(steps), goal=goal)


def check_task(manifest: Manifest, env: Env) -> None:
    """Refuse a manifest that was made for another version of its task.

    Raises:
        ManifestError: if threshold or solver state differ from the environment's.
    """
    task = task_of(env)
    if task.success_threshold != manifest.threshold:
        raise ManifestError(
            f"manifest {manifest.name} counts success within {manifest.threshold} m, "
            f"{manifest.env} within {task.success_threshold} m; make the manifest again"
        )
    size = task.solver_state().size
    if manifest.start.shape[1] != size:
        raise ManifestError(
            f"manifest {manifest.name} has states of {manifest.start.shape[1]} numbers, "
            f"{manifest.env} has {size}; make the manifest again"
        )


def _restore(env: Env, manifest: Manifest, pair: int) -> tuple[Observation, dict[str, Any]]:
    """Set factors, start and goal; their distance shows whether the scene is the same."""
    states = {"state": manifest.start[pair], "goal_state": manifest.goal[pair]}
    options: dict[str, Any] = dict(states)
    if manifest.pairs[pair].factors:
        options["factors"] = manifest.pairs[pair].factors
    try:
        observation, info = env.reset(seed=0, options=options)
    except ValueError as error:
        raise ManifestError(
            f"pair {pair} of manifest {manifest.name} does not fit {manifest.env}: {error}"
        ) from None
    expected, found = manifest.pairs[pair].displacement, float(info["distance"])
    if abs(expected - found) > SAME:
        raise ManifestError(
            f"pair {pair} of manifest {manifest.name} is {expected:.4f} m apart, here "
            f"{found:.4f} m; it was made for another version of {manifest.env}"
        )
    return observation, info


def _picture(env: Env, policy: Policy, observation: Observation) -> NDArray[np.uint8]:
    """(H, W, 3) what the camera sees, rendered once."""
    return observation["pixels"] if needs_pixels(policy) else task_of(env).render()


def action_width(env: Env) -> int:
    """Numbers in an action."""
    return int((env.action_space.shape or (0,))[0])


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch computes on one thread, as every worker does: other sums are other plans."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


# -- the pairs of a run, shared among workers and machines ------------------------------------


@dataclass(frozen=True)
class Shard:
    """Which part: shard 2 of 3 plays the second, fifth, eighth... item of the table."""

    index: int
    """From 1 to `count`."""
    count: int
    """Parts in all."""

    def __post_init__(self) -> None:
        """Raises UserError where there is no such part."""
        if not 1 <= self.index <= self.count:
            raise UserError(f"shard must be 1/N to N/N, got {self.index}/{self.count}")

    def of(self, items: Sequence[T]) -> list[T]:
        """This shard's items; those of all shards together are all of them, each once.

        >>> Shard(2, 3).of("abcdefgh")
        ['b', 'e', 'h']
        """
        return list(items[self.index - 1 :: self.count])

    def __str__(self) -> str:
        """As the user types it."""
        return f"{self.index}/{self.count}"


def parse_shard(text: str) -> Shard | None:
    """A shard as it is typed, or None where nothing is.

    Raises:
        UserError: if it is not two numbers.

    >>> parse_shard("2/3")
    Shard(index=2, count=3)
    """
    if not text:
        return None
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if not found:
        raise UserError(f"shard is typed I/N, such as 1/3, got {text!r}")
    return Shard(int(found[1]), int(found[2]))


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a pair was played."""

    run: str = ""
    """Digest of the run's settings; empty in lines from before there was one."""
    commit: str | None
    """Of goalsight."""
    hardware: str


class Store:
    """Append-only record of finished pairs; a kill loses only those in flight."""

    def __init__(self, path: Path, run: str, shard: Shard | None = None) -> None:
        """Use `open_store`, which checks the folder first."""
        self.path = path
        self._run, self._shard = run, shard
        self._own: Path | None = None

    def add(self, outcome: Outcome, on: str | None = None) -> None:
        """Append a finished pair; its film should lie there already.

        Args:
            outcome: of the pair.
            on: hardware that played it; None: this machine's.
        """
        if self._own is None:
            self._own = self._new_file()
        origin = Origin(run=self._run, commit=git_commit(), hardware=on or hardware())
        line = json.dumps({**asdict(outcome), _ORIGIN: asdict(origin)}, allow_nan=False) + "\n"
        with self._own.open("a", encoding="utf-8") as file:
            file.write(line)

    def outcomes(self) -> dict[tuple[str, int], Outcome]:
        """Every finished pair by (row, pair); a line that a kill cut short does not count.

        Raises:
            OutputError: if a file holds something else than finished pairs of this run.
        """
        return {item: outcome for item, (outcome, _) in self.entries().items()}

    def entries(self) -> dict[tuple[str, int], tuple[Outcome, Origin]]:
        """Every finished pair by (row, pair), with where it was played.

        Raises:
            OutputError: if a file holds something else than finished pairs of this run.
        """
        found: dict[tuple[str, int], tuple[Outcome, Origin]] = {}
        for path in sorted(self.path.glob("pairs*.jsonl")):
            # What follows the last line break was cut short by a kill, or is being written now.
            whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
            for number, line in enumerate(whole.splitlines(), start=1):
                outcome, origin = self._entry(line, f"{path} line {number}")
                found.setdefault((outcome.row, outcome.pair), (outcome, origin))
        return found

    def _entry(self, line: str, where: str) -> tuple[Outcome, Origin]:
        try:
            fields = json.loads(line)
            said = fields.pop(_ORIGIN, None)
            outcome = outcome_from_json(fields)
            # Lines from before they had an origin say nothing: nobody may speak for them.
            origin = Origin(**said) if said else Origin(commit=None, hardware="")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise OutputError(
                f"{where} is not a finished pair ({error}); choose another --out"
            ) from None
        if origin.run not in {"", self._run}:
            raise OutputError(f"{where} is of a run with other settings than {RUN}; take it out")
        return outcome, origin

    def _new_file(self) -> Path:
        """An empty file that no other process has, whatever machine it is on."""
        shard = f"-{self._shard.index}-of-{self._shard.count}" if self._shard else ""
        for number in count(1):
            later = "" if number == 1 else f".{number}"
            path = self.path / f"pairs{shard}{later}.jsonl"
            try:
                path.open("x").close()
            except FileExistsError:
                continue
            return path
        raise AssertionError("unreachable")


def open_store(path: Path, identity: Mapping[str, Any], shard: Shard | None = None) -> Store:
    """Begin a run in a folder, or continue the one that is there.

    Args:
        path: folder of the run; made if absent.
        identity: what must not change between the parts of one run.
        shard: which part this process plays, if it is one of several.

    Raises:
        OutputError: if the folder holds something else, or a run of other settings.
    """
    run = path / RUN
    if not run.is_file():
        if path.exists() and not (path.is_dir() and _is_free(path)):
            raise OutputError(f"{path} already holds something else; choose another --out")
        path.mkdir(parents=True, exist_ok=True)
        replace_json(run, identity)
    # What was just written, too: another shard may have been quicker.
    kept = read_json(run, error=OutputError, advice="choose another --out")
    _check_same(path, kept, identity)
    (path / EPISODES).mkdir(exist_ok=True)
    text = json.dumps(kept, sort_keys=True)
    return Store(path, sha256(text)[:16], shard)


def _is_free(path: Path) -> bool:
    """Whether a folder holds nothing but what a run begins with, perhaps another shard's."""
    return all(
        entry.name in {FROZEN, RUN, EPISODES} or entry.name.startswith(f".{RUN}.")
        for entry in path.iterdir()
    )


def _check_same(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Compare what both know: a record from before a field was recorded is no other run."""
    now = json.loads(json.dumps(new))  # as it would have been read: tuples are lists there
    for name in now:
        if old.get(name, now[name]) != now[name]:
            raise OutputError(
                f"{path} holds a run with {name} {old.get(name)}, this one has {now[name]}; "
                "choose another --out"
            )


# -- workers ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every worker of a run knows."""

    manifest: Manifest
    spec: PolicySpec
    size: int
    """Height and width of the pictures [pixels]."""
    film_every: int
    """Control steps between two pictures of a row that is not filmed in full."""
    seed: int
    own: Mapping[str, Policy] = field(default_factory=dict)
    """Rows of policies that are there already; the others are made."""

    @property
    def uses_torch(self) -> bool:
        """Whether it may; scripted rows never load PyTorch: seconds saved."""
        return bool(self.spec.checkpoint or self.spec.player or self.own)


@dataclass(frozen=True, kw_only=True)
class Played:
    """What a worker sends back; it writes nothing, so it may be on a machine without the folder."""

    outcome: Outcome
    film: bytes
    """Content of the film's file."""
    hardware: str
    """Of the worker's machine."""


class Worker:
    """Plays pairs; environments and policies are made once and kept."""

    def __init__(self, job: Job) -> None:
        """Make nothing yet: a worker may never be asked for some row."""
        self._job = job
        self._policies: dict[str, Policy] = dict(job.own)
        self._envs: dict[bool, Env] = {}

    def __call__(self, item: Item) -> Played:
        """Play a (row, pair) item, as a job of an executor."""
        return self.play(*item)

    def play(self, row: str, pair: int) -> Played:
        """Play one pair."""
        job, kind = self._job, ROWS[row]
        if kind.sees not in self._envs:
            self._envs[kind.sees] = make_env(
                job.manifest.env, size=job.size, observe_pixels=kind.sees
            )
        env = self._envs[kind.sees]
        if row not in self._policies:
            self._policies[row] = kind.make(job.spec, env)
        outcome, film = play_pair(
            env,
            self._policies[row],
            job.manifest,
            pair,
            row=row,
            seed=job.seed,
            film_every=1 if kind.filmed else job.film_every,
        )
        return Played(outcome=outcome, film=film_bytes(film), hardware=hardware())

    def close(self) -> None:
        """Free the environments."""
        for env in self._envs.values():
            env.close()


def make_worker(job: Job) -> Worker:
    """A worker in a process of its own: PyTorch computes on one thread there.

    So its sums are the same everywhere.
    """
    if job.uses_torch:
        import torch

        torch.set_num_threads(1)
    return Worker(job)


# -- a run ------------------------------------------------------------------------------------


class MissingPairsError(UserError):
    """The table cannot be written: other shards have not played their pairs."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What to measure and how."""

    out: Path
    """Folder of the run; a run that is already there is continued."""
    checkpoint: Path | None = None
    """Folder of the agent's checkpoint; the scripted rows need none."""
    rows: tuple[str, ...] = default_rows([])
    """Rows of the table."""
    pairs: int | None = None
    """Play the first so many pairs; None plays all."""
    workers: int | None = 1
    """Processes that play at the same time, None for one per core, 0 for this one; changes nothing
    but the time."""
    seed: int = 0
    """Of every random choice the rows make."""
    device: str = "cpu"
    """Torch device of the agent."""
    settings: str = ""
    """Settings of the agent that differ from the default, such as `samples=100,delay=0.05`."""
    memory: Path | None = None
    """File of recorded latents that the agent takes sub-goals from."""
    player: str = ""
    """`module:function` that makes the row `player`, see `goalsight.benchmark.policies`."""
    shard: Shard | None = None
    """Which part of the pairs to play; None plays all."""
    ray: str = ""
    """Address of a Ray cluster whose processors play; empty: processes of this machine do."""

    def __post_init__(self) -> None:
        """Raises UserError where a field is out of its range."""
        check_rows(self.rows)
        check_player(self.rows, self.player)
        if self.pairs is not None and self.pairs < 1:
            raise UserError(f"pairs must be at least 1, got {self.pairs}")
        if self.workers is not None and self.workers < 0:
            raise UserError(f"workers must be at least 0, got {self.workers}")
        if self.seed < 0:
            raise UserError(f"seed must be 0 or more, got {self.seed}")


def run_benchmark(
    manifest: Manifest,
    config: BenchmarkConfig,
    progress: Progress = silent,
    policy: Policy | None = None,
) -> Results:
    """Play every pair of every row and write `results.json` into `config.out`.

    Every pair is played alone, at batch 1 and on one torch thread, with random streams that depend
    on the seed and the pair alone: workers, shards and interruptions change nothing in the outcome.
    Pairs that an earlier run with the same settings finished are kept.

    Args:
        manifest: the frozen pairs.
        config: what to measure and how.
        progress: told how many pairs are done.
        policy: that plays the row `agent` if it is an agent, else the row `player`; None for rows
            that are made from the config alone.

    Raises:
        UserError: if the checkpoint does not fit the task, the manifest does not fit the
            installed environments, or `config.out` holds something else; MissingPairsError if
            only a shard was to be played and other shards' pairs are not there yet.
    """
    run = prepare(manifest, config, policy=policy)
    run.play(progress)
    return run.finish()


@dataclass(frozen=True, kw_only=True)
class Run:
    """A manifest that is ready to be played, or is played in part."""

    manifest: Manifest
    config: BenchmarkConfig
    store: Store
    job: Job
    known: dict[str, Any]
    """The fields of the results that are known beforehand."""

    def items(self) -> list[Item]:
        """Rows and pairs in the order of the table."""
        count = min(self.config.pairs or len(self.manifest.pairs), len(self.manifest.pairs))
        return [(row, pair) for row in self.config.rows for pair in range(count)]

    def mine(self) -> list[Item]:
        """Those of this shard."""
        return self.config.shard.of(self.items()) if self.config.shard else self.items()

    def missing(self) -> list[Item]:
        """Those that nobody has finished."""
        done = self.store.outcomes()
        return [item for item in self.items() if item not in done]

    def play(self, progress: Progress = silent) -> None:
        """Play those of this shard that nobody has finished."""
        missing, mine = set(self.missing()), self.mine()
        todo = [item for item in mine if item in missing]
        # Planning rows first: an estimate that starts pessimistic, an end without one slow worker.
        todo.sort(key=lambda item: item[0] not in LEARNED_ROWS)
        kept = len(mine) - len(todo)
        progress(kept, len(mine))
        if not todo:
            return
        here = self.job.uses_torch and self._workers == 0 and not self.config.ray
        with one_thread() if here else nullcontext(), self._executor(len(todo)) as executor:
            for number, (_, played) in enumerate(executor.run(todo), start=1):
                outcome = played.outcome
                replace_file(film_path(self.config.out, outcome.row, outcome.pair), played.film)
                self.store.add(outcome, on=played.hardware)
                progress(kept + number, len(mine))

    def finish(self) -> Results:
        """Write the table; one that already says the same is left as it is.

        Raises:
            MissingPairsError: if pairs are missing, saying which.
        """
        entries = self.store.entries()
        if missing := [item for item in self.items() if item not in entries]:
            what = f"{len(missing)} of {len(self.items())} pairs are missing"
            raise MissingPairsError(f"no table of {self.config.out} yet: {what} ({tally(missing)})")
        results = self._results([entries[item] for item in self.items()])
        path, content = self.config.out / RESULTS, to_json(results)
        if not _says_the_same(path, content):
            replace_json(path, content)
        return results

    @property
    def _workers(self) -> int:
        """Processes at most; on a cluster 0 are as many as it has processors."""
        if self.config.workers is None:
            return 0 if self.config.ray else cores()
        return self.config.workers

    def _executor(self, items: int) -> Executor[Item, Played]:
        return Executor(
            partial(make_worker, self.job),
            workers=min(self._workers, items),
            ray=self.config.ray,
            accelerator=self.config.device.startswith("cuda"),
            patience_s=1.0,
        )

    def _results(self, entries: list[tuple[Outcome, Origin]]) -> Results:
        """The table and what makes it traceable."""
        rows, played = self.config.rows, [outcome for outcome, _ in entries]
        return Results(
            **self.known,
            commit=joined(origin.commit for _, origin in entries),
            hardware=joined(origin.hardware for _, origin in entries) or "",
            command=command(),
            rows=[row_result(row, [o for o in played if o.row == row]) for row in rows],
            mcnemar=compare(rows, played),
            pairs=played,
        )


def prepare(
    manifest: Manifest,
    config: BenchmarkConfig,
    agent: Agent | None = None,
    policy: Policy | None = None,
) -> Run:
    """Check that everything fits and begin or continue the folder of the run.

    Args:
        manifest: the frozen pairs.
        config: what to measure and how.
        agent: of the checkpoint, if it is loaded already.
        policy: as `run_benchmark` takes it.

    Raises:
        UserError: as `run_benchmark`.
    """
    spec = policy_spec(config, manifest.tier)
    player: Policy | None = None
    if isinstance(policy, AgentPolicy):
        agent = policy.agent
    elif config.player:
        player = policy or own_policy(spec)
    # A player may read a checkpoint of another kind.
    given = config.checkpoint and not config.player
    if agent is None and (given or set(LEARNED_ROWS) & set(config.rows)):
        agent = load_agent(spec)
    env = make_env(manifest.env, observe_pixels=False)
    check_task(manifest, env)
    if agent:
        _check_agent(agent, env)
    check_policies(config.rows, agent, env, spec)
    known = metadata(manifest, config.device, config.seed, agent, env)
    if player is not None:
        known["player"] = own_metadata(player, spec if policy is None else None)
    env.close()
    identity = {
        "manifest": manifest.hash,
        "checkpoint": agent.checkpoint_sha256 if agent else None,
        **{name: known[name] for name in ("agent", "seed", "device", "renderer", "goalsight")},
        "player": known["player"],
        "mujoco": known["mujoco"],
        # What other rows than the agent's plan with is the card's, too.
        **({"planning": agent.card["agent"]} if agent and "agent" in agent.card else {}),
    }
    job = Job(
        manifest=manifest,
        spec=spec,
        size=picture_size(agent, player),
        film_every=agent.frameskip if agent else manifest.frameskip,
        seed=config.seed,
        own={} if policy is None else {"agent" if player is None else PLAYER: policy},
    )
    store = open_store(config.out, identity, config.shard)
    return Run(manifest=manifest, config=config, store=store, job=job, known=known)


def policy_spec(config: BenchmarkConfig, tier: str) -> PolicySpec:
    """What the policies of a run on a manifest of that tier are made from."""
    return PolicySpec(
        checkpoint=_anywhere(config.checkpoint),
        device=config.device,
        settings=config.settings,
        tier=tier,
        memory=_anywhere(config.memory),
        player=config.player,
    )


def tally(items: Iterable[Item]) -> str:
    """How many pairs of each row, such as `agent 3, zero 5`."""
    return ", ".join(f"{row} {count}" for row, count in Counter(row for row, _ in items).items())


def _anywhere(path: Path | None) -> Path | None:
    """A path that means the same in a process that was started in another folder."""
    return path.absolute() if path is not None and path.exists() else path


def _check_agent(agent: Agent, env: Env) -> None:
    """Refuse a checkpoint whose actions are not those of the task."""
    width = action_width(env)
    if agent.action_dim != width:
        raise CheckpointError(
            f"checkpoint {agent.name} plans actions of {agent.action_dim} numbers, the task takes "
            f"{width}; use a checkpoint that was trained on this task's data"
        )


def _says_the_same(path: Path, content: dict[str, Any]) -> bool:
    """Whether a table is already there, whichever command wrote it."""
    try:
        old = read_json(path)
    except UserError:
        return False
    new = json.loads(json.dumps(content))
    return bool({**old, "command": ""} == {**new, "command": ""})
