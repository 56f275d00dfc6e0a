"""A long storm: people write, everything fails at random, and each request is counted at the end."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from bot_processes import BOT, BotProcess
from patience import PATIENCE
from running_bot import is_finished

from bot.sandbox import Fault, Sandbox

PEOPLE = ("Ada", "Bo", "小林", *(f"Person{n}" for n in range(9)))
METHODS = ("chat.postMessage", "chat.update", "chat.startStream", "chat.appendStream", "chat.stopStream")
READING = ("conversations.replies", "users.info", "conversations.history", "*")


@dataclass
class Figures:
    """What a storm came to. `answers` counts messages; a request may have been answered with an apology."""

    requests: int = 0
    answers: int = 0
    apologies: int = 0
    refused: int = 0
    doubles: int = 0
    losses: int = 0
    unfinished: int = 0
    starts: int = 0
    sockets: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    memory_start: float = 0.0  # MB of the bot's process, once it has settled
    memory_end: float = 0.0
    seconds: float = 0.0


class Storm:
    """People, faults and a bot. `pace`: seconds between requests; `calm`: between faults, on average."""

    def __init__(
        self, sandbox: Sandbox, database: Path, pace: float, calm: float, hurry: bool, seed: int
    ) -> None:
        self.sandbox, self.database, self.pace, self.calm = sandbox, database, pace, calm
        self.bot = BotProcess(
            sandbox, f"sqlite+aiosqlite:///{database}", HURRY="1" if hurry else "0", ENGINE_PAUSE="0.01"
        )
        self.figures = Figures()
        self.asked: dict[str, str] = {}  # by the ts of what was said, who said it
        self.random = random.Random(seed)
        self.hurry = hurry
        self._threads: list[tuple[str, str]] = []
        self._lock = asyncio.Lock()

    async def run(
        self,
        seconds: float,
        requests: int = 0,
        faults: int = 0,
        say: Callable[[str], None] = lambda text: None,
    ) -> Figures:
        """Let it rage for `seconds`, and until there were so many requests and faults; then count.

        It is counted once all is answered, or nothing comes any more.
        """
        started = time.monotonic()
        for name in PEOPLE[3:]:
            self.sandbox.add_user(name)
        await self._start()
        await asyncio.sleep(min(20.0, seconds / 10))
        self.figures.memory_start = self._memory()
        talking = asyncio.ensure_future(self._talk())
        failing = asyncio.ensure_future(self._fail())
        while (
            time.monotonic() - started < seconds
            or len(self.asked) < requests
            or self.figures.faults.total() < faults
        ):
            await asyncio.sleep(min(60.0, max(0.1, seconds - (time.monotonic() - started))))
            for task in (talking, failing):
                if task.done():
                    task.result()  # raises what ended it
            answers = sum(self._count().values())
            say(
                f"{time.monotonic() - started:6.0f} s  {len(self.asked)} requests, {answers} answers, "
                f"{self.figures.faults.total()} faults"
            )
        talking.cancel()
        async with self._lock:  # a fault that has begun ends first: a killed bot stands again
            failing.cancel()
        results = await asyncio.gather(failing, talking, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        self.sandbox.faults.methods.clear()
        await self._settle(PATIENCE if self.hurry else 420.0)
        self.figures.memory_end = self._memory()
        await self.bot.stop()
        self._report()
        self.figures.seconds = time.monotonic() - started
        return self.figures

    async def _talk(self) -> None:
        box = self.sandbox
        while True:
            await asyncio.sleep(self.random.expovariate(1 / self.pace))
            person, number, thread = self.random.choice(PEOPLE), len(self.asked), None
            kind = self.random.random()
            if kind < 0.2:
                channel, text = box.dm(person), f"question {number}"
            elif kind < 0.45 and self._threads:
                channel, thread = self.random.choice(self._threads[-12:])
                text = f"question {number}"
            elif kind < 0.6:
                channel, text = "general", f"{BOT} #EMOTION# question {number}"
            else:
                channel, text = "general", f"{BOT} question {number}"
            ts = await box.post(person, channel, text, thread)
            self.asked[ts] = box.workspace.user(person).id
            if channel == "general" and thread is None and kind >= 0.6:
                self._threads.append((channel, ts))

    async def _fail(self) -> None:
        faults = [self._kill, self._restart, self._drop, self._half_open, self._refresh, self._deaf]
        faults += [self._limited, self._broken, self._broken, self._hang, self._locked, self._turned_away]
        while True:
            await asyncio.sleep(self.random.expovariate(1 / self.calm))
            fault = self.random.choice(faults)
            self.figures.faults[fault.__name__.strip("_")] += 1
            async with self._lock:
                await fault()

    # --- faults ---

    async def _start(self) -> None:
        await self.bot.start()
        self.figures.starts += 1

    async def _kill(self) -> None:
        self.bot.kill()
        await self.bot.died()
        await asyncio.sleep(self.random.uniform(0.1, 3.0))
        await self._start()

    async def _restart(self) -> None:
        await self.bot.stop()
        await self._start()

    async def _drop(self) -> None:
        self.sandbox.sockets.drop()

    async def _half_open(self) -> None:
        self.sandbox.sockets.go_half_open()

    async def _refresh(self) -> None:
        reason = self.random.choice(("refresh_requested", "warning"))
        await self.sandbox.sockets.refresh(reason, close_after=self.random.uniform(0.2, 3.0))

    async def _deaf(self) -> None:
        self.sandbox.faults.deaf = True
        await asyncio.sleep(self.random.uniform(0.5, 3.0) if self.hurry else self.random.uniform(2.0, 20.0))
        self.sandbox.faults.deaf = False

    async def _limited(self) -> None:
        method = self.random.choice((*METHODS, *READING))
        self.sandbox.faults.answer(method, Fault(times=self.random.randint(1, 6), status=429, retry_after=1))

    async def _broken(self) -> None:
        method, after = self.random.choice((*METHODS, *READING)), self.random.random() < 0.5
        times = self.random.randint(1, 5)
        status = self.random.choice((500, 502, 503))
        self.sandbox.faults.answer(method, Fault(times=times, status=status, after=after))

    async def _hang(self) -> None:
        method, after = self.random.choice(METHODS), self.random.random() < 0.5
        self.sandbox.faults.answer(method, Fault(hang=self.random.uniform(0.2, 2.0), after=after))

    async def _locked(self) -> None:
        """Another process holds the database: now and then longer than the bot waits for it."""
        seconds = self.random.choice((0.5, 2.0)) if self.hurry else self.random.choice((1.0, 3.0, 12.0))
        holder = sqlite3.connect(self.database, isolation_level=None, timeout=5)
        try:
            holder.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(seconds)
        except sqlite3.OperationalError:
            return  # the bot was writing all the time
        finally:
            holder.close()

    async def _turned_away(self) -> None:
        self.sandbox.faults.refuse_sockets = "internal_error"
        self.sandbox.sockets.drop()
        await asyncio.sleep(self.random.uniform(0.2, 2.0))
        self.sandbox.faults.refuse_sockets = ""

    # --- counting ---

    def _memory(self) -> float:
        return psutil.Process(self.bot.pid).memory_info().rss / 1e6

    def _count(self) -> Counter[str]:
        """Finished answers by the ts of what they answer."""
        counted: Counter[str] = Counter()
        for channel in self.sandbox.workspace.channels.values():
            for message in channel.messages.values():
                payload = (message.get("metadata") or {}).get("event_payload") or {}
                if message.get("bot_id") and payload.get("final"):
                    counted[payload["asked"]] += 1
        return counted

    def _refused(self, ts: str) -> bool:
        """Whether who asked was told in private that it was not taken: once a minute is enough."""
        told = ("too much to do", "我现在太忙", "went wrong", "出了问题")
        return any(
            e.user == self.asked[ts]
            and -65 < float(e.message["ts"]) - float(ts) < 120
            and any(t in e.message["text"] for t in told)
            for e in self.sandbox.workspace.ephemerals
        )

    async def _settle(self, most: float) -> None:
        end = time.monotonic() + most
        while time.monotonic() < end:
            counted = self._count()
            if all(counted[ts] or self._refused(ts) for ts in self.asked):
                return
            await asyncio.sleep(0.5)

    def _report(self) -> None:
        counted, figures = self._count(), self.figures
        figures.requests, figures.answers = len(self.asked), sum(counted.values())
        figures.doubles = sum(max(0, counted[ts] - 1) for ts in self.asked)
        unanswered = [ts for ts in self.asked if not counted[ts]]
        figures.refused = sum(self._refused(ts) for ts in unanswered)
        figures.losses = len(unanswered) - figures.refused
        figures.sockets = self.sandbox.sockets.opened
        for channel in self.sandbox.workspace.channels.values():
            for message in channel.messages.values():
                payload = (message.get("metadata") or {}).get("event_payload") or {}
                figures.apologies += payload.get("kind") == "notice"
                figures.unfinished += bool(message.get("bot_id")) and not is_finished(message)
