"""The real Bolt app over a real socket to the sandbox, with an engine whose words a test can choose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from playwright.async_api import Page

from bot.app.services import Services
from bot.conversation import Conversations
from bot.emotion import EmotionClassifier
from bot.engine import EngineError, Prompt, Sampling
from bot.roles import Role
from bot.sandbox import Sandbox
from bot.sandbox.socket import Envelope
from bot.storage import Storage
from config.settings import Settings
from handlers import BotApp, build_app
from handlers.transport.watchdog import SlackConnection

Look = Callable[..., Awaitable[Page]]  # opens the workspace's page as a person


@dataclass
class Scripted:
    """An engine that says what the test wants to read in Slack: no model writes `<!channel>` on demand.

    `score` prefers the label whose name says what the text's first character is: + or -.
    """

    answers: list[str] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)
    pause: float = 0.0
    gate: asyncio.Event | None = None
    fails: bool = False
    name: str = "scripted"
    context_tokens: int = 4096

    async def score(self, prompt: Prompt, labels: Sequence[str], *, exact: bool = True) -> list[float]:
        negative = "-" in prompt.messages[-1].content
        return [-0.1 if ("负" in label) == negative else -3.0 for label in labels]

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str]:
        self.prompts.append(prompt)
        if self.fails:
            raise EngineError("broken on purpose")
        answer = self.answers.pop(0) if self.answers else f"You said: {prompt.messages[-1].content}"
        for start in range(0, len(answer), 7):
            yield answer[start : start + 7]
            await asyncio.sleep(self.pause)
            if self.gate is not None:
                await self.gate.wait()

    def count(self, prompt: Prompt) -> int:
        return sum(4 + len(message.content) for message in prompt.messages)

    async def forget(self, session: str | None = None) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class RunningBot:
    """One running bot in its sandbox."""

    sandbox: Sandbox
    services: Services
    app: BotApp
    engine: Any
    connection: SlackConnection

    async def replies(self, channel: str, ts: str, count: int = 1) -> list[dict[str, Any]]:
        """The bot's finished messages in a thread, once there are `count`."""

        def finished() -> list[dict[str, Any]] | None:
            found = [
                m
                for m in self.sandbox.messages(channel, ts)
                if m.get("bot_id") and m["ts"] != ts and is_finished(m)
            ]
            return found if len(found) >= count else None

        found: list[dict[str, Any]] = await self.sandbox.wait_for(finished)
        return found

    async def idle(self) -> None:
        """Wait until the bot has heard of all that happened and every request is answered."""
        inbox, context = self.app.slack.inbox, self.sandbox.context
        await self.sandbox.wait_for(lambda: not (context.deliveries or inbox.waiting or inbox.running))


def edits(bot: RunningBot) -> list[Envelope]:
    """What was delivered of the edits and deletions that people made."""
    found = [e for e, _ in bot.sandbox.sockets.delivered if "previous_message" in e.payload.get("event", {})]
    return [e for e in found if e.payload["event"]["previous_message"].get("bot_id") is None]


async def changed(bot: RunningBot) -> None:
    """Wait until the bot has acknowledged a change that somebody made."""
    under_way = bot.sandbox.sockets.envelopes
    await bot.sandbox.wait_for(lambda: [e for e in edits(bot) if e.id not in under_way])


async def lose_events(sandbox: Sandbox) -> None:
    """Wait until Slack has given up the events of what was said while `faults.deaf` was set, and end that."""
    await asyncio.gather(*sandbox.context.deliveries, return_exceptions=True)
    sandbox.faults.deaf = False


def is_finished(message: dict[str, Any]) -> bool:
    """Whether the bot writes no more on a message."""
    final = ((message.get("metadata") or {}).get("event_payload") or {}).get("final")
    return bool(final) and "stop_reply" not in actions(message)


def actions(message: dict[str, Any]) -> list[str]:
    """The action_ids of a message's or view's buttons and menus."""
    found = []
    for block in message.get("blocks") or []:
        for element in [*block.get("elements", []), block.get("accessory") or {}]:
            if element.get("action_id"):
                found.append(element["action_id"])
    return found


def shown(message: dict[str, Any]) -> str:
    """What a person reads in a message."""
    texts = []
    for block in message.get("blocks") or []:
        text = block.get("text")
        texts.append(text.get("text") if isinstance(text, dict) else text)
        if block["type"] == "rich_text":
            texts += ["".join(e["text"] for e in part["elements"]) for part in block["elements"]]
            continue
        texts += [e["text"] for e in block.get("elements", []) if isinstance(e.get("text"), str)]
    return "\n".join(t for t in texts if t) or message["text"]


async def ephemerals_of(
    bot: RunningBot, user: str, channel: str = "general", count: int = 1
) -> list[dict[str, Any]]:
    """What only `user` sees in a channel, once there is enough of it."""
    box = bot.sandbox

    def enough() -> list[dict[str, Any]] | None:
        found = box.ephemerals(user, channel)
        return found if len(found) >= count else None

    found: list[dict[str, Any]] = await box.wait_for(enough)
    return found


@asynccontextmanager
async def run_bot(
    sandbox: Sandbox, database: str, engine: Any, roles: dict[str, Role], **settings: Any
) -> AsyncIterator[RunningBot]:
    """A bot connected to `sandbox`; stopped at the end."""
    chosen = replace(
        Settings(),
        slack_api_url=sandbox.api_url,
        slack_bot_token=sandbox.bot_token,
        slack_app_token=sandbox.app_token,
        database_url=database,
        **settings,
    )
    storage = await Storage.open(database)
    services = Services(
        settings=chosen,
        roles=roles,
        engine=engine,
        classifier=EmotionClassifier(engine, roles),
        conversations=Conversations(engine, roles, storage, chosen),
        storage=storage,
    )
    app = build_app(services)
    connection = SlackConnection(app, app.slack, app.backfill, chosen.slack_app_token)
    try:
        await connection.start()
        yield RunningBot(sandbox, services, app, engine, connection)
    finally:
        await connection.stop()
        await storage.close()
