"""`chat`: a conversation in the terminal; with a text one answer."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from bot.cli.model import UsageError, opened_engine, role_named
from bot.cli.options import visible
from bot.cli.text_input import check_text
from bot.conversation import Conversations
from bot.roles import load_roles
from bot.storage import Storage
from config.settings import Settings


def run(options: argparse.Namespace, settings: Settings) -> None:
    """Converse until the end of input, or answer one text."""
    roles = load_roles()
    role_named(roles, options.role, classifies=False)
    if options.text is not None and not check_text(options.text).strip():
        raise UsageError("there is nothing to answer: write a message")

    async def work() -> None:
        async with opened_engine(settings) as (engine, _):
            storage = await Storage.open(settings.database_url)
            try:
                conversations = Conversations(engine, roles, storage, settings)
                await converse(conversations, options.text, role=options.role)
            finally:
                await storage.close()

    asyncio.run(work())


async def converse(conversations: Conversations, text: str | None, *, role: str) -> None:
    """Answer `text`, or each line that is typed until the end of input. Ctrl-C ends an answer."""
    thread = f"cli:{secrets.token_urlsafe(9)}"
    if text is not None:
        await _say(conversations, thread, text, role)
        return
    shown = sys.stdin.isatty()
    if shown:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  # importing it gives input() a history and editing keys
        print("Write a message; Ctrl-C ends an answer, Ctrl-D the conversation.")
    while True:
        try:
            line = await asyncio.to_thread(input, "> " if shown else "")
        except (EOFError, KeyboardInterrupt):
            if shown:
                print()
            return
        if check_text(line, "the message").strip():
            await _say(conversations, thread, line.strip(), role)


async def _say(conversations: Conversations, thread: str, text: str, role: str) -> None:
    async with _interruptible(), aclosing(conversations.reply(thread, text, role=role)) as reply:
        async for piece in reply:
            print(visible(piece), end="", flush=True)
    print()


@asynccontextmanager
async def _interruptible() -> AsyncIterator[None]:
    """Let Ctrl-C end what runs inside, and nothing else."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    pressed = False

    def press() -> None:
        nonlocal pressed
        pressed = True
        task.cancel()

    with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C ends the program
        loop.add_signal_handler(signal.SIGINT, press)
    try:
        yield
    except asyncio.CancelledError:
        if not pressed:
            raise
    finally:
        with contextlib.suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGINT)
