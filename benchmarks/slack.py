"""How soon the bot acknowledges and answers while the model works: `python benchmarks/slack.py`.

The real model, Bolt and the SDK over a real socket to the sandbox, in one process. Slack gives an app
three seconds to acknowledge; a person begins to wonder sooner.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "handlers")]

from running_bot import RunningBot, run_bot  # noqa: E402  the paths come first

from bot.app.measured_engine import MeasuredEngine  # noqa: E402  the paths come first
from bot.cli.bench import percentile  # noqa: E402  the paths come first
from bot.engine import Engine, Prompt, Sampling  # noqa: E402  the paths come first
from bot.engine.factory import open_engine  # noqa: E402  the paths come first
from bot.roles import Role, load_roles  # noqa: E402  the paths come first
from bot.sandbox import Sandbox  # noqa: E402  the paths come first
from config.settings import Settings  # noqa: E402  the paths come first

BOT = "@All-in-One Bot"
WAIT = 300.0  # seconds after which something is broken


class TimedEngine(MeasuredEngine):
    """An engine that notes when each piece of an answer came."""

    def __init__(self, engine: Engine, times: list[float]) -> None:
        super().__init__(engine)
        self._times = times

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str]:
        async with aclosing(super().stream(prompt, sampling)) as pieces:
            async for piece in pieces:
                self._times.append(time.monotonic())
                yield piece


async def acknowledgements(bot: RunningBot, count: int) -> list[float]:
    """Seconds to each acknowledgement of commands and messages while four replies are written."""
    box, inbox, times = bot.sandbox, bot.app.slack.inbox, bot.sandbox.sockets.ack_times
    for number in range(4):
        await box.post("Ada", "general", f"{BOT} Write a long story about the number {number}.")
    await box.wait_for(lambda: inbox.running == 4, WAIT)
    times.clear()
    for number in range(count):
        if number % 2:
            await box.command("Bo", "general", "/chat", "help")
        else:
            await box.post("Bo", "general", f"nothing for the bot {number}")
        await asyncio.sleep(0.02)
    await box.wait_for(lambda: len(times) >= count, WAIT)
    if inbox.running < 4:
        raise SystemExit("a reply ended meanwhile: measure fewer acknowledgements")
    found = sorted(times)
    for message in box.messages("general"):
        job = inbox.job(f"message:{box.team_id}:{box.channels['general']}:{message['ts']}")
        if job is not None:
            job.stop.set()
    await bot.idle()
    return found


async def first_words(bot: RunningBot, began: list[float], count: int) -> list[float]:
    """Seconds from the model's first token to visible text, for one reply at a time."""
    box, found = bot.sandbox, []
    for number in range(count):
        began.clear()
        ts = await box.post("Ada", "general", f"{BOT} Name {number + 3} colours.")
        await box.wait_for(lambda ts=ts: [m for m in box.messages("general", ts)[1:] if m["text"]], WAIT)
        found.append(time.monotonic() - began[0])
        await bot.replies("general", ts)
    return sorted(found)


async def ephemerals(bot: RunningBot, count: int) -> list[float]:
    """Seconds from `/emotion` to the label that its asker sees."""
    box, found = bot.sandbox, []
    for number in range(count):
        before, start = len(box.ephemerals("Bo", "general")), time.monotonic()
        await box.command("Bo", "general", "/emotion", f"快递又丢了，客服还挂我电话 {number}")
        await box.wait_for(lambda least=before: len(box.ephemerals("Bo", "general")) > least, WAIT)
        found.append(time.monotonic() - start)
        await bot.idle()
    return sorted(found)


async def lateness(engine: Engine, roles: Mapping[str, Role]) -> list[float]:
    """Seconds that the event loop comes late to what is due, while answers are written and texts scored."""
    late: list[float] = []

    async def look() -> None:
        while True:
            due = time.perf_counter() + 0.005
            await asyncio.sleep(0.005)
            late.append(time.perf_counter() - due)

    async def answer(text: str) -> None:
        async for _ in engine.stream(roles["chat"].prompt(text), Sampling(max_tokens=48)):
            pass

    looking = asyncio.ensure_future(look())
    await asyncio.gather(
        *(answer(text) for text in ("写一首关于春天的诗", "What is a list?", "介绍一下北京", "好" * 600)),
        engine.score(roles["emotion"].prompt("很好，真的很好！" * 100), ["正面", "负面"], exact=False),
    )
    looking.cancel()
    return sorted(late)


def row(what: str, wanted: str, seconds: Sequence[float]) -> str:
    """One line of the table."""
    p50, p99 = statistics.median(seconds) * 1000, percentile(seconds, 0.99) * 1000
    return f"| {what} | {wanted} | {p50:.0f} ms | {p99:.0f} ms | {len(seconds)} |"


async def measure(directory: Path, count: int) -> None:
    """Print the table."""
    roles, began = load_roles(), list[float]()
    engine = TimedEngine(open_engine(Settings(), directory), began)
    long = replace(roles["chat"], sampling=Sampling(max_tokens=2000, temperature=0))
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite+aiosqlite:///{folder}/bot.sqlite3"
        async with Sandbox() as sandbox, run_bot(sandbox, database, engine, {**roles, "chat": long}) as bot:
            acknowledged = await acknowledgements(bot, count)
            bot.services.roles["chat"] = replace(long, sampling=Sampling(max_tokens=24, temperature=0))
            shown, labelled = await first_words(bot, began, 20), await ephemerals(bot, 30)
        late = await lateness(engine, roles)
    rows = (
        row("acknowledgement while four replies are written", "p99 under 500 ms", acknowledged),
        row("the model's first token to visible text", "under 1 s", shown),
        row("`/emotion` to the label", "", labelled),
        row("the event loop comes late to what is due", "p99 under 50 ms", late),
    )
    await engine.close()
    print("| what | wanted | p50 | p99 | of |\n| --- | --- | ---: | ---: | ---: |\n" + "\n".join(rows))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model-dir", type=Path, default=ROOT / "models" / "starter")
    parser.add_argument("--count", type=int, default=100, help="acknowledgements")
    options = parser.parse_args()
    asyncio.run(measure(options.model_dir, options.count))
    return 0


if __name__ == "__main__":
    sys.exit(main())
