"""Run the bot in a storm of random faults: `python benchmarks/soak.py MINUTES`.

People write in a sandbox; the bot runs in a process of its own with a scripted engine. It is killed,
stopped, cut off, left half-open, deprived of events, rate-limited, refused and locked out of its
database at random.
At the end every request is counted: doubles and losses must be 0.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / room) for room in (".", "chaos", "handlers"))]

from storm import Figures, Storm  # noqa: E402  the paths come first

from bot.sandbox import Sandbox  # noqa: E402  the paths come first


async def soak(minutes: float, seed: int) -> Figures:
    """One storm."""
    with tempfile.TemporaryDirectory() as directory:
        async with Sandbox() as sandbox:
            sandbox.faults.retry_delays = (0.5, 10.0, 30.0)
            storm = Storm(
                sandbox, Path(directory) / "bot.sqlite3", pace=1.0, calm=8.0, hurry=False, seed=seed
            )
            return await storm.run(minutes * 60, say=lambda text: print(text, flush=True))


def main() -> int:
    """Exit code 0 when nothing was lost, doubled or left half-written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("minutes", type=float, nargs="?", default=30.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    found = asyncio.run(soak(options.minutes, options.seed))
    print(f"requests             {found.requests}")
    print(f"answers              {found.answers}, of them {found.apologies} apologies or notices")
    print(f"refused, and told    {found.refused}")
    print(f"doubles              {found.doubles}")
    print(f"losses               {found.losses}")
    print(f"half-written         {found.unfinished}")
    print(f"starts of the bot    {found.starts}, sockets {found.sockets}")
    print(f"faults               {', '.join(f'{n} {c}' for n, c in sorted(found.faults.items()))}")
    print(
        f"memory of the bot    {found.memory_start:.0f} MB at the start, {found.memory_end:.0f} MB at the end"
    )
    print(f"time                 {found.seconds / 60:.1f} minutes")
    return 1 if found.doubles or found.losses or found.unfinished else 0


if __name__ == "__main__":
    sys.exit(main())
