"""First tokens of conversations through the API, without a key: `python benchmarks/api_turns.py`.

The bot runs in a process of its own. Each round is a new conversation of eight turns over
POST /v1/chat/completions, streamed, whose client sends the whole history each time, as they all do.
Printed is how long each turn's first words took, the median over all rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from engine_bot import Bot  # noqa: E402  the paths come first
from tqdm import tqdm  # noqa: E402  the paths come first

ANSWER = 40  # tokens of an answer at most: the eighth turn has some 430 tokens before it
# Of about as many tokens each. The first begins with a number, so that nothing of it is known.
QUESTIONS = (
    "{} days in Kyoto: where should I begin?",
    "And what would you do on the second morning there?",
    "Is it better to go there by bus or train?",
    "Where can one eat well and not pay too much?",
    "What do people there do when it rains a lot?",
    "Which of these many places would you leave out?",
    "What should I bring home for my very old parents?",
    "And what must I not forget before I leave home?",
)


async def first_words(session: aiohttp.ClientSession, messages: list[dict[str, str]]) -> tuple[float, str]:
    """Seconds to the first words of the next answer, and the whole of it."""
    body = {"messages": messages, "stream": True, "max_tokens": ANSWER, "temperature": 0}
    start, first, text = time.perf_counter(), 0.0, ""
    async with session.post("/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        async for line in response.content:
            data = line.removeprefix(b"data: ").strip()
            if not data.startswith(b"{"):
                continue
            event: Any = json.loads(data)
            piece = event["choices"][0]["delta"].get("content")
            if piece and not first:
                first = time.perf_counter() - start
            text += piece or ""
    if not first:
        raise SystemExit(f"there is no answer to {messages[-1]['content']!r}")
    return first, text


async def conversation(session: aiohttp.ClientSession, number: int) -> list[float]:
    """Seconds to the first words of each turn of a conversation; no two numbers begin alike."""
    messages: list[dict[str, str]] = []
    found = []
    for question in QUESTIONS:
        messages.append({"role": "user", "content": question.format(f"{number}"[::-1])})
        seconds, text = await first_words(session, messages)
        found.append(seconds)
        messages.append({"role": "assistant", "content": text})
    return found


async def measure(address: str, rounds: int) -> list[list[float]]:
    """Seconds of each turn, [turns][rounds]."""
    async with aiohttp.ClientSession(address) as session:
        await conversation(session, 0)  # everything has run once
        turns = [await conversation(session, number) for number in tqdm(range(1, rounds + 1), unit=" rounds")]
    return [list(each) for each in zip(*turns, strict=True)]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model-dir", type=Path, default=ROOT / "models" / "starter")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    bot = Bot(options.model_dir, options.precision)
    try:
        turns = asyncio.run(measure(bot.address, options.rounds))
    finally:
        bot.stop()
    medians = [statistics.median(seconds) for seconds in turns]
    print("| turn | first words |\n| --- | ---: |")
    for number, seconds in enumerate(medians, 1):
        print(f"| {number} | {seconds * 1000:.1f} ms |")
    ratios = [last / first for first, last in zip(turns[0], turns[-1], strict=True)]
    print(f"\nturn {len(medians)} / turn 1: {medians[-1] / medians[0]:.2f}", end=" ")
    print(f"(of single rounds {min(ratios):.2f} to {max(ratios):.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
