"""The message shortcuts: how a message sounds, and how a thread does, for the asker's eyes only."""

from __future__ import annotations

from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.inbox import Job
from bot.storage import Request
from handlers.asking import take
from handlers.context import Slack, user_key
from handlers.mood import show_mood
from handlers.reading import message_text


def register(app: AsyncApp, slack: Slack) -> None:
    """Listen for the shortcuts, and answer them from the inbox."""

    async def mood(job: Job) -> None:
        await show_mood(slack, job)

    slack.inbox.register("thread_mood", mood, quick=True)

    @app.message_shortcut("classify_emotion")
    async def emotion_chosen(ack: AsyncAck, body: dict[str, Any]) -> None:
        await _take(slack, body, "classify")
        await ack()

    @app.message_shortcut("thread_mood")
    async def mood_chosen(ack: AsyncAck, body: dict[str, Any]) -> None:
        await _take(slack, body, "thread_mood")
        await ack()


async def _take(slack: Slack, body: dict[str, Any], kind: str) -> None:
    team, user, channel = body["team"]["id"], body["user"]["id"], body["channel"]["id"]
    message = body["message"]
    key = f"shortcut:{team}:{body['trigger_id']}"
    payload = {
        "team": team,
        "channel": channel,
        "user": user,
        "text": await message_text(slack, message),
        "ts": message["ts"],
        "thread_ts": message.get("thread_ts"),
        "response_url": body["response_url"],
    }
    if not slack.allowed(channel):
        words = await slack.words(team, user)
        await slack.whisper(channel, user, words("not_here"))
        return
    await take(slack, Request(key, key, kind, payload, user_key(team, user)), channel, user)
