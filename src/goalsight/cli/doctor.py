"""`goalsight doctor`: what works on this machine, and what to do about what does not."""

from __future__ import annotations

import json as jsonlib
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

LEAST_FREE_GB = 2.0
"""Below this much free disk the demo does not fit comfortably."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    """What was looked at."""
    ok: bool
    """Whether it works."""
    detail: str
    """What was found."""
    advice: str = ""
    """What to do about it; empty if it works."""


def doctor(*, json: bool = False) -> int:
    """Say what is installed, what renders and trains here, and what to do about what fails.

    Exit status 0 if everything works, 1 if something needs mending.

    Args:
        json: print JSON for a machine to read.

    Example:
        goalsight doctor
        goalsight doctor --json
    """
    from goalsight.provenance import hardware, versions

    findings = [examine(name, check) for name, check in CHECKS.items()]
    well = all(finding.ok for finding in findings)
    if json:
        report = {
            "ok": well,
            "hardware": hardware(),
            "versions": versions(),
            "findings": [asdict(finding) for finding in findings],
        }
        print(jsonlib.dumps(report, indent=2))
        return 0 if well else 1
    print(hardware())
    print(", ".join(f"{name} {number}" for name, number in versions().items()) + "\n")
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name:<{width}}  {finding.detail}")
        if finding.advice:
            print(f"      {'':<{width}}  to do: {finding.advice}")
    return 0 if well else 1


def examine(name: str, check: Callable[[], Finding]) -> Finding:
    """Run one check; whatever it raises becomes a finding, so that the others still run."""
    from goalsight.cli.errors import explain, one_line

    try:
        return check()
    except Exception as error:
        detail = explain(error) or one_line(f"{type(error).__name__}: {error}")
        advice = "" if "install with" in detail else "install the pinned versions: make setup"
        return Finding(name=name, ok=False, detail=detail, advice=advice)


def renders() -> Finding:
    """Which GL backend draws the tasks, and how long a frame takes."""
    import gymnasium

    import goalsight_envs  # noqa: F401  (registers the environments)

    env = gymnasium.make("Goalsight/Reach-v0", size=64, disable_env_checker=True)
    env.reset(seed=0)
    frames = 50
    began = time.perf_counter()
    for _ in range(frames):
        env.render()
    milliseconds = (time.perf_counter() - began) / frames * 1e3
    backend = env.get_wrapper_attr("renderer")
    env.close()
    return Finding(
        name="renders", ok=True, detail=f"{backend}, {milliseconds:.2f} ms a frame at 64 px"
    )


def trains() -> Finding:
    """Which device PyTorch trains on, and what bfloat16 gains there."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if torch.backends.mps.is_available():
        device = "mps"
    full = _seconds_a_step(device, torch.float32)
    half = _seconds_a_step(device, torch.bfloat16)
    threads = f", {torch.get_num_threads()} threads" if device == "cpu" else ""
    detail = f"{device}{threads}; bfloat16 {full / half:.1f} times as fast as float32"
    gpu_unused = device == "cpu" and shutil.which("nvidia-smi") is not None
    return Finding(
        name="trains",
        ok=not gpu_unused,
        detail=f"{detail}; an NVIDIA GPU is not used" if gpu_unused else detail,
        advice="check `nvidia-smi`, and install a CUDA build of PyTorch" if gpu_unused else "",
    )


def _seconds_a_step(device: str, dtype: object) -> float:
    """Shortest of a few training steps of a small network [s], in one precision."""
    import torch

    assert isinstance(dtype, torch.dtype)
    model = torch.nn.Sequential(torch.nn.Linear(512, 2048), torch.nn.Linear(2048, 512)).to(device)
    batch = torch.ones(256, 512, device=device)
    shortest = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            loss = model(batch).square().mean()
        loss.backward()
        float(loss.detach())  # waits for the device
        shortest = min(shortest, time.perf_counter() - began)
    return shortest


def films() -> Finding:
    """Whether a video can be written, and read back by both readers."""
    import av
    import decord
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            for _ in range(4):
                frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        with av.open(str(path)) as container:
            first = sum(1 for _ in container.decode(video=0))
        second = len(decord.VideoReader(str(path)))
    return Finding(
        name="films",
        ok=first == second == 4,
        detail=f"libx264 writes; PyAV {av.__version__} and decord {decord.__version__} read",
        advice="" if first == second == 4 else "reinstall av and decord2: make setup",
    )


def room() -> Finding:
    """Free space where results go by default."""
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    ok = free >= LEAST_FREE_GB
    return Finding(
        name="disk",
        ok=ok,
        detail=f"{free:.1f} GB free in {Path.cwd()}",
        advice="" if ok else f"free at least {LEAST_FREE_GB:g} GB, or give --out on another disk",
    )


CHECKS: dict[str, Callable[[], Finding]] = {
    "renders": renders,
    "trains": trains,
    "films": films,
    "disk": room,
}
"""Every check by name, in the order of the report."""
