"""A text as long as the API reads, judged and explained, and who waits behind it.

    python benchmarks/long_text.py

The bot runs in a process of its own. While one client waits for the label and the reason, another asks
questions one after the other, and the first words of each answer are timed.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from api_turns import first_words  # noqa: E402  the paths come first
from engine_bot import Bot  # noqa: E402  the paths come first

LENGTH = 20_000
SENTENCE = "Day {}: the parcel is still not here, they say wait, and I am tired of asking. "


async def judged(session: aiohttp.ClientSession, number: int) -> float:
    """Seconds to the label and the reason of a text that nobody has judged before."""
    text = "".join(SENTENCE.format(number * 10_000 + day) for day in range(LENGTH))[:LENGTH]
    body = {"text": text, "mode": "emotion", "explain": True}
    start = time.perf_counter()
    async with session.post("/api/infer", json=body) as response:
        response.raise_for_status()
        await response.read()
    return time.perf_counter() - start


async def waited(session: aiohttp.ClientSession, until: asyncio.Task[float], number: int) -> list[float]:
    """Seconds to the first words of each question asked until then."""
    found = []
    while not until.done():
        question = {"role": "user", "content": f"{len(found)}{number} apples: what could I bake?"}
        seconds, _ = await first_words(session, [question])
        found.append(seconds)
    return found


async def measure(address: str, rounds: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds of a text alone, of one beside the questions, and of the questions' first words."""
    alone: list[float] = []
    beside: list[float] = []
    words: list[float] = []
    async with aiohttp.ClientSession(address) as session:
        await first_words(session, [{"role": "user", "content": "hello"}])  # everything has run once
        for number in range(rounds):
            alone.append(await judged(session, 2 * number))
            text = asyncio.create_task(judged(session, 2 * number + 1))
            words += await waited(session, text, number)
            beside.append(await text)
    return alone, beside, words


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model-dir", type=Path, default=ROOT / "models" / "starter")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    bot = Bot(options.model_dir, options.precision)
    try:
        alone, beside, words = asyncio.run(measure(bot.address, options.rounds))
    finally:
        bot.stop()
    print(f"label and reason of {LENGTH:,} characters, alone: {statistics.median(alone):.2f} s")
    print(f"beside somebody's questions: {statistics.median(beside):.2f} s")
    print(
        f"first words of those: {statistics.median(words):.2f} s, at most {max(words):.2f} s of {len(words)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
