"""The slash commands: /emotion answers the asker alone, /chat opens a thread."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.errors import SlackApiError

from bot.inbox import Job
from bot.storage import Request
from bot.tags import split_tag
from handlers.ask import Ask
from handlers.asking import take
from handlers.blocks import section
from handlers.context import Slack, user_key
from handlers.emotions import FEELINGS
from handlers.language import Words
from handlers.manners import echo
from handlers.private import answer_privately, show_emotion
from handlers.reading import ANSWER, answer_payload, readable

_EMOTION_OPTIONS = ("--feelings",)
_SINGLE = {"/emotion": ("help", "--feelings"), "/chat": ("forget", "help")}  # words that stand alone


@dataclass(frozen=True)
class Command:
    """A slash command as it was understood. `problem` is what to say instead of doing anything."""

    text: str = ""
    feelings: bool = False
    forget: bool = False
    problem: str = ""


def parse(command: str, text: str, words: Words) -> Command:
    """Understand what was typed behind `/emotion` or `/chat`."""
    usage = words("usage_emotion" if command == "/emotion" else "usage_chat")
    first, _, rest = text.strip().partition(" ")
    if first.lower() in ("help", "-h", "--help", "帮助", "?") and not rest.strip():
        return Command(problem=words("usage"))
    if command == "/chat" and text.strip().lower() in ("forget", "--forget", "忘记"):
        return Command(forget=True)
    feelings = False
    if first.startswith(("--", "—", "–")):  # some keyboards make one long dash of two
        option = "--" + first.lstrip("-—–").lower()
        if command != "/emotion" or option not in _EMOTION_OPTIONS:
            known = _EMOTION_OPTIONS if command == "/emotion" else ("forget",)
            near = difflib.get_close_matches(option, known, n=1, cutoff=0.0)[0]
            return Command(problem=words("unknown_option", option=first[:40], nearest=near) + "\n" + usage)
        feelings, text = True, rest
    if not rest and (close := difflib.get_close_matches(first.lower(), _SINGLE[command], 1, 0.8)):
        return Command(problem=words("unknown_option", option=first, nearest=close[0]) + "\n" + usage)
    text = split_tag(text)[1]
    if not text:
        return Command(problem=usage)
    return Command(text=text, feelings=feelings)


def register(app: AsyncApp, slack: Slack) -> None:
    """Listen for the commands, and answer them from the inbox."""
    inbox = slack.inbox

    async def classify(job: Job) -> None:
        await show_emotion(slack, job)

    async def open_chat(job: Job) -> None:
        await _open_chat(slack, job)

    async def forget_channel(job: Job) -> None:
        await _forget_channel(slack, job)

    inbox.register("classify", classify, quick=True)
    inbox.register("open_chat", open_chat, quick=True)
    inbox.register("forget_channel", forget_channel, quick=True)

    @app.command("/emotion")
    @app.command("/chat")
    async def typed(ack: AsyncAck, body: dict[str, Any]) -> None:
        team, user = body["team_id"], body["user_id"]
        words = await slack.words(team, user)
        if not slack.allowed(body["channel_id"]):
            await ack(words("not_here"))
            return
        text = await readable(slack, body.get("text") or "")
        command = parse(body["command"], text, words)
        if command.problem:
            await ack(command.problem)
            return
        kind = "classify" if body["command"] == "/emotion" else "open_chat"
        key = f"command:{team}:{body['trigger_id']}"
        payload = {
            "team": team,
            "channel": body["channel_id"],
            "user": user,
            "text": command.text,
            "role": FEELINGS if command.feelings else "emotion",
            "response_url": body["response_url"],
        }
        kind = "forget_channel" if command.forget else kind
        await take(slack, Request(key, key, kind, payload, user_key(team, user)), payload["channel"], user)
        await ack()


async def _open_chat(slack: Slack, job: Job) -> None:
    """Post the question as the beginning of a thread, and have it answered there."""
    asked = job.request.payload
    team, channel, user = asked["team"], asked["channel"], asked["user"]
    words = await slack.words(team, user)
    ts = await _opened(slack, job) if job.resumed else None
    if ts is None:
        person = await slack.person(user)
        text = f"{words('chat_opened', user=person.name)}\n{echo(asked['text'])}"
        root = {"request": job.key, "kind": "root", "user": user, "text": asked["text"]}
        try:
            posted = await slack.client.chat_postMessage(
                channel=channel,
                text=text,
                blocks=[section(text)],
                metadata={"event_type": ANSWER, "event_payload": root},
                unfurl_links=False,
                unfurl_media=False,
            )
        except SlackApiError as problem:
            if problem.response.get("error") not in ("not_in_channel", "channel_not_found"):
                raise
            name = (await slack.identity()).name
            await answer_privately(slack, job, words("not_member", bot=name))
            return
        ts = str(posted["ts"])
    job.posted = ts
    ask = Ask(team, channel, ts, ts, user, {"text": asked["text"], "plain": True}, "command")
    await slack.services.storage.join(ask.thread, user_key(team, user))
    await slack.inbox.accept(ask.request("chat"), follows=True)


async def _opened(slack: Slack, job: Job) -> str | None:
    """The thread that an earlier process had opened for this request."""
    found = await slack.client.conversations_history(
        channel=job.request.payload["channel"], limit=100, include_all_metadata=True
    )
    for message in found["messages"]:
        if answer_payload(message).get("request") == job.key:
            return str(message["ts"])
    return None


async def _forget_channel(slack: Slack, job: Job) -> None:
    """Forget a person's conversations in one channel."""
    asked = job.request.payload
    owner = user_key(asked["team"], asked["user"])
    threads = await slack.services.storage.owned(f"slack:{asked['team']}:{asked['channel']}:", owner)
    for thread in threads:
        await slack.services.conversations.forget(thread)
    words = await slack.words(asked["team"], asked["user"])
    await answer_privately(slack, job, words("forgotten_channel", count=len(threads)))
