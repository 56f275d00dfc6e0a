"""The message shortcuts: how a message sounds, and how a thread does, shown to the asker alone."""

from __future__ import annotations

from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.inbox import Job
from bot.inbox.payloads import ClassifyText, ThreadMood
from handlers.listeners.intake import new_request, take
from handlers.replies.message_text import message_text
from handlers.replies.thread_mood import show_mood
from handlers.transport.context import SlackContext


def register(app: AsyncApp, slack: SlackContext) -> None:
    """Listen for the shortcuts, and answer them from the inbox."""

    async def mood(job: Job[ThreadMood]) -> None:
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


async def _take(slack: SlackContext, body: dict[str, Any], kind: str) -> None:
    team, user, channel = body["team"]["id"], body["user"]["id"], body["channel"]["id"]
    message, url = body["message"], body["response_url"]
    if not slack.allowed(channel):
        strings = await slack.strings(team, user)
        await slack.post_ephemeral(channel, user, strings("not_here"))
        return
    payload: ClassifyText | ThreadMood
    if kind == "classify":
        text = await message_text(slack, message)
        payload = ClassifyText(team, channel, user, text, url, thread_ts=message.get("thread_ts"))
    else:
        payload = ThreadMood(team, channel, user, message["ts"], url, message.get("thread_ts"))
    key = f"shortcut:{team}:{body['trigger_id']}"
    await take(slack, new_request(kind, payload, key), payload)
