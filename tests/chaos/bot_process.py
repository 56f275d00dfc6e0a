"""A bot in a process of its own, which can be killed, or kills itself, at a chosen moment.

Everything is real but the engine, whose words are scripted. Run with SLACK_API_URL, SLACK_BOT_TOKEN,
SLACK_APP_TOKEN and DATABASE_URL in the environment; KILL_AT names the moment:

received    the request is stored; nothing is acknowledged, nothing begun
answering   it is stored as begun; nothing stands in Slack
posted      the first piece of the answer stands in Slack; its place is not stored
streaming   half of the answer stands in Slack
whole       all of it stands there; it is not yet marked as final
final       the final answer stands in Slack; the request is not yet stored as answered
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "handlers")]

from running_bot import Scripted, run_bot  # noqa: E402  the paths come first

from bot.app import retry  # noqa: E402  the paths come first
from bot.inbox.inbox import Inbox  # noqa: E402  the paths come first
from bot.inbox.recorder import Recorder  # noqa: E402  the paths come first
from bot.roles import load_roles  # noqa: E402  the paths come first
from bot.sandbox import Sandbox  # noqa: E402  the paths come first
from bot.storage import Storage  # noqa: E402  the paths come first
from handlers.replies import stream_writer  # noqa: E402  the paths come first
from handlers.transport import socket, watchdog, web_client  # noqa: E402  the paths come first
from handlers.transport.web_client import RateLimitedWebClient  # noqa: E402  the paths come first


def die() -> None:
    """End as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_after(owner: type, name: str, when: Callable[..., bool]) -> None:
    """Die when the method has done its work and `when(*arguments)` holds."""
    whole: Callable[..., Awaitable[Any]] = getattr(owner, name)

    async def cut(self: Any, *arguments: Any, **named: Any) -> Any:
        result = await whole(self, *arguments, **named)
        if when(*arguments, **named):
            die()
        return result

    setattr(owner, name, cut)


def kill_before(owner: type, name: str, when: Callable[..., bool]) -> None:
    """Die when the method is called and `when(*arguments)` holds."""
    whole: Callable[..., Awaitable[Any]] = getattr(owner, name)

    async def cut(self: Any, *arguments: Any, **named: Any) -> Any:
        if when(*arguments, **named):
            die()
        return await whole(self, *arguments, **named)

    setattr(owner, name, cut)


def plan(moment: str) -> None:
    """Arrange the death."""

    def finally_updated(**named: Any) -> bool:
        return bool(named["metadata"]["event_payload"]["final"])

    if moment == "received":
        kill_after(Storage, "accept", lambda request: True)
    elif moment == "answering":
        kill_after(Storage, "advance", lambda key, state, *rest: state == "answering")
    elif moment == "posted":
        kill_before(Inbox, "note_posted", lambda job, ts: True)
    elif moment == "streaming":
        kill_after(RateLimitedWebClient, "chat_appendStream", lambda **named: True)
    elif moment == "whole":
        kill_before(RateLimitedWebClient, "chat_update", finally_updated)
    elif moment == "final":
        kill_before(Recorder, "record", lambda key, state, **named: state in ("answered", "failed"))


def hurry() -> None:
    """Shorten every period, so that a test need not wait for minutes."""
    stream_writer.PERIOD = 0.05
    socket.PING_SECONDS, socket.CONNECT_SECONDS, socket.CLOSE_SECONDS = 0.5, 3.0, 0.3
    watchdog.PATIENCE, watchdog.TICK, watchdog.QUIET, watchdog.SWEEP = 2.0, 0.1, 1.0, 3.0
    watchdog.OVERLAP = 0.5
    web_client.SPACING = 0.02
    retry.pause = lambda attempt, longest=30.0: min(0.6, 0.1 * 2.0 ** min(attempt, 8))
    Inbox.stop.__defaults__ = (4.0, 1.0)  # three seconds to finish, one for last words


async def main() -> None:
    """Run until SIGTERM, then stop as the bot does."""
    if os.environ.get("HURRY", "1") == "1":
        hurry()
    plan(os.environ.get("KILL_AT", ""))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    sandbox: Any = Elsewhere()
    engine = Scripted(pause=float(os.environ.get("ENGINE_PAUSE", "0.02")))
    async with run_bot(sandbox, os.environ["DATABASE_URL"], engine, load_roles()):
        print("ready", flush=True)
        await stop.wait()


class Elsewhere:
    """The sandbox in the test's process, as far as `run_bot` asks for it."""

    api_url = os.environ["SLACK_API_URL"]
    bot_token = os.environ["SLACK_BOT_TOKEN"]
    app_token = os.environ["SLACK_APP_TOKEN"]
    workspace: Sandbox | None = None


if __name__ == "__main__":
    asyncio.run(main())
