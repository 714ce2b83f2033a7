r"""Make README's moving picture from the video of a plan.

    goalsight plan --checkpoint arm-tiny --env Goalsight/PickPlace-v0 --seed 3 --steps 60 \
      --out runs/carry
    .venv/bin/python -m scripts.readme_picture runs/carry

An animated WebP at the video's own rate, its last frame held for two seconds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import av
from PIL import Image

OUT = Path(__file__).parents[1] / "docs" / "images" / "carry.webp"
LAST_MS = 2000


def animate(plan: Path, out: Path) -> None:
    """Write the rollout of a plan's folder as an animated picture.

    Args:
        plan: folder of `goalsight plan`.
        out: WebP file to write.
    """
    control_dt = json.loads((plan / "plan.json").read_text(encoding="utf-8"))["control_dt"]
    with av.open(str(plan / "rollout.mp4")) as video:
        frames: list[Image.Image] = [
            Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in video.decode(video=0)
        ]
    durations = [round(1000 * control_dt)] * (len(frames) - 1) + [LAST_MS]
    frames[0].save(
        out,
        format="WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
        quality=80,
        method=6,
    )


def main() -> None:
    """Make the picture of a plan."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plan", type=Path, help="folder of goalsight plan")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    animate(given.plan, given.out)


if __name__ == "__main__":
    main()
