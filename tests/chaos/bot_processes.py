"""What the chaos tests share: a bot in its own process, and the count of its answers."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from patience import PATIENCE
from running_bot import is_finished, shown

from bot.sandbox import Sandbox

SCRIPT = Path(__file__).parent / "bot_process.py"
Launch = Callable[..., Awaitable["BotProcess"]]  # kill_at=…, ready=…, pause=…
BOT = "@All-in-One Bot"


class BotProcess:
    """The bot of `bot_process.py`, connected to `sandbox`."""

    def __init__(self, sandbox: Sandbox, database: str, **variables: str) -> None:
        self._environment = {
            **os.environ,
            "SLACK_API_URL": sandbox.api_url,
            "SLACK_BOT_TOKEN": sandbox.bot_token,
            "SLACK_APP_TOKEN": sandbox.app_token,
            "DATABASE_URL": database,
            **variables,
        }
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    async def start(self, ready: bool = True) -> None:
        """Start, and wait until it is ready unless it may die before."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), env=self._environment, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        if ready:
            line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)
            assert line == b"ready\n"

    async def died(self) -> int:
        """Wait for its end; its exit code."""
        assert self._process is not None
        return await asyncio.wait_for(self._process.wait(), PATIENCE)

    def kill(self) -> None:
        """Pull the plug."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def stop(self) -> float:
        """Stop it politely; how many seconds that took."""
        assert self._process is not None
        started = asyncio.get_running_loop().time()
        self._process.terminate()
        await asyncio.wait_for(self._process.wait(), PATIENCE)
        return asyncio.get_running_loop().time() - started

    async def end(self) -> None:
        """Whatever its state, it is gone afterwards."""
        self.kill()
        if self._process is not None:
            await self._process.wait()


def answers(sandbox: Sandbox, channel: str, ts: str) -> list[dict[str, Any]]:
    """Every message of the bot in a thread, finished or not."""
    return [m for m in sandbox.messages(channel, ts) if m.get("bot_id") and m["ts"] != ts]


async def one_answer(sandbox: Sandbox, channel: str, ts: str, text: str) -> None:
    """Wait for the answer in a thread, and see that it is the whole one and the only one."""
    await sandbox.wait_for(lambda: [m for m in answers(sandbox, channel, ts) if is_finished(m)])
    await asyncio.sleep(0.3)  # a second one would be on its way
    (found,) = answers(sandbox, channel, ts)
    assert is_finished(found)
    assert shown(found).startswith(text), shown(found)
    assert shown(found).count(text) == 1
    assert found.get("streaming_state") != "in_progress"


async def all_answered(sandbox: Sandbox, asked: dict[str, tuple[str, str]]) -> Counter[int]:
    """Wait until each question `{ts: (channel, text)}` has an answer; how many have how many."""

    def finished(ts: str) -> int:
        channel, text = asked[ts]
        found = [m for m in answers(sandbox, channel, ts) if is_finished(m)]
        return sum(text in shown(m) for m in found)

    await sandbox.wait_for(lambda: all(finished(ts) for ts in asked))
    await asyncio.sleep(0.3)
    for ts, (channel, _) in asked.items():
        assert all(is_finished(m) for m in answers(sandbox, channel, ts))
    return Counter(len(answers(sandbox, channel, ts)) for ts, (channel, _) in asked.items())
