"""A GGUF file by this engine beside llama.cpp on the same file: `python benchmarks/engine_gguf.py FILE...`.

Each round measures one after the other, each in a process of its own; printed are medians. `prepare` has to
have run on the file. Needs the `bench` extra.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from engine_apart import Apart  # noqa: E402  the paths come first
from engine_bot import Bot  # noqa: E402  the paths come first
from engine_peers import Llama, Ours  # noqa: E402  the paths come first
from tqdm import tqdm  # noqa: E402  the paths come first

from bot.engine.config.precision import GGUF  # noqa: E402  the paths come first
from bot.engine.kernels.bindings import choose_kernels  # noqa: E402  the paths come first
from bot.roles import load_roles  # noqa: E402  the paths come first

PROMPT, ANSWER = 400, 48


def measure(file: Path, rounds: int) -> dict[str, float]:
    """Medians by name; speeds in tokens a second."""
    bot = Bot(file, GGUF)
    bot.emotion()
    bot.chat("用一句话介绍你自己。")
    found: dict[str, list[float]] = {"whole bot, start": [bot.start_seconds], "whole bot, peak": [bot.peak]}
    bot.stop()
    ours, llama = Apart(Ours, file, GGUF, load_roles()["emotion"]), Apart(Llama, file, file.stem)
    made = iter(range(10**6))

    def prompt(length: int) -> list[int]:
        return [next(made) % 1000 + 1000, *range(2000, 2000 + length - 1)]

    for peer in (ours, llama):  # everything has run once
        peer.prefill(prompt(PROMPT))
    for _ in tqdm(range(rounds), unit=" rounds"):
        for name, peer in (("this engine", ours), ("llama.cpp", llama)):
            for _ in range(2):
                found.setdefault(f"{name}, decode", []).append(peer.decode(prompt(40), ANSWER))
                found.setdefault(f"{name}, prefill", []).append(PROMPT / peer.prefill(prompt(PROMPT)))
        found.setdefault("this engine, share of bandwidth", []).append(
            ours.share_of_bandwidth(prompt(40), ANSWER)
        )
    for peer in (ours, llama):
        peer.stop()
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> int:
    """A line for each file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"kernels {choose_kernels().name.decode()}; decode and prefill in tokens a second")
    for file in options.files:
        found = measure(file, options.rounds)
        for what in ("decode", "prefill"):
            own, other = found[f"this engine, {what}"], found[f"llama.cpp, {what}"]
            said = f"{own:7.1f}, llama.cpp {other:7.1f}, ratio {own / other:.2f}"
            print(f"{file.name:20} {what:8} {said}", flush=True)
        share, start = found["this engine, share of bandwidth"], found["whole bot, start"]
        print(f"{file.name:20} {share:.0%} of the read bandwidth; start {start:.2f} s", end=", ")
        print(f"whole bot, peak {found['whole bot, peak'] * 1000:,.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
