"""The slash commands: /emotion answers the asker alone, /chat opens a thread."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.errors import SlackApiError

from bot.inbox import Job
from bot.inbox.payloads import ClassifyText, ForgetChannel, OpenChat, Question
from bot.roles import split_tag
from config.strings import Strings
from handlers.formatting.sanitize import escape, quote
from handlers.listeners.intake import new_request, question_request, take
from handlers.replies.blocks import section
from handlers.replies.emotion_reply import FEELINGS, show_emotion
from handlers.replies.message_text import plain_text
from handlers.transport.context import SlackContext, thread_key, user_key
from handlers.transport.response_url import respond_once
from handlers.transport.slack_errors import is_transient
from handlers.transport.thread_history import ANSWER, answer_payload

_OPTIONS = {"/emotion": ("--feelings", "--help"), "/chat": ("--forget", "--help")}
_HELP = ("help", "--help", "-h", "帮助", "?")  # alone behind a command
_FORGET = ("forget", "--forget", "忘记")
# A first word that may be meant as an option. Some keyboards make one long dash of two.
_OPTION_LIKE = re.compile(r"(--|—)([A-Za-z][A-Za-z-]*)")


@dataclass(frozen=True)
class Command:
    """A slash command as it was understood. `problem` is what to say instead of doing anything."""

    text: str = ""
    feelings: bool = False
    forget: bool = False
    problem: str = ""


def parse(command: str, text: str, strings: Strings) -> Command:
    """Understand what was typed behind `/emotion` or `/chat`.

    Two dashes and an English word at the beginning are an option; a long dash is only one where an option,
    or something a letter away from it, follows. Whatever follows a lone `--` is text.
    """
    usage = strings("usage_emotion" if command == "/emotion" else "usage_chat")
    text = text.strip()
    alone = _option(command, text) or text.lower()
    if alone in _HELP:
        return Command(problem=strings("usage"))
    if command == "/chat" and alone in _FORGET:
        return Command(forget=True)
    first, rest = (*text.split(maxsplit=1), "", "")[:2]
    option = _option(command, first)
    feelings = option == "--feelings" and option in _OPTIONS[command]
    if option and not feelings:
        if option in _OPTIONS[command]:  # one that stands alone
            return Command(problem=usage)
        nearest = (*difflib.get_close_matches(option, _OPTIONS[command], n=1), *_OPTIONS[command])[0]
        unknown = strings(
            "unknown_option", option=option[:40], nearest=nearest, literal=f"{command} -- {option[:40]}"
        )
        return Command(problem=unknown + "\n" + usage)
    text = split_tag(rest if feelings or first == "--" else text)[1]
    if not text:
        return Command(problem=usage)
    return Command(text=text, feelings=feelings)


def _option(command: str, word: str) -> str:
    """What `word` means as an option, with two dashes and in lower case; "" where it is ordinary text."""
    match = _OPTION_LIKE.fullmatch(word)
    if match is None:
        return ""
    option = "--" + match[2].lower()
    if match[1] == "—" and not any(_within_one_edit(option, known) for known in _OPTIONS[command]):
        return ""
    return option


def _within_one_edit(one: str, other: str) -> bool:
    """Whether at most one letter is added, missing, another, or has changed places with the next."""
    shorter = min(len(one), len(other))
    start = next((at for at in range(shorter) if one[at] != other[at]), shorter)
    one, other = one[start:], other[start:]
    return (
        one[1:] == other[1:]
        or one[1:] == other
        or one == other[1:]
        or (one[:2] == other[1::-1] and one[2:] == other[2:])
    )


def register(app: AsyncApp, slack: SlackContext) -> None:
    """Listen for the commands, and answer them from the inbox."""
    inbox = slack.inbox

    async def classify(job: Job[ClassifyText]) -> None:
        await show_emotion(slack, job)

    async def open_chat(job: Job[OpenChat]) -> None:
        await _open_chat(slack, job)

    async def forget_channel(job: Job[ForgetChannel]) -> None:
        await _forget_channel(slack, job)

    inbox.register("classify", classify, quick=True)
    inbox.register("open_chat", open_chat, quick=True)
    inbox.register("forget_channel", forget_channel, quick=True)

    @app.command("/emotion")
    @app.command("/chat")
    async def typed(ack: AsyncAck, body: dict[str, Any]) -> None:
        team, channel, user = body["team_id"], body["channel_id"], body["user_id"]
        strings = await slack.strings(team, user)
        if not slack.allowed(channel):
            await ack(strings("not_here"))
            return
        text = await plain_text(slack, body.get("text") or "")
        command = parse(body["command"], text, strings)
        if command.problem:
            await ack(command.problem)
            return
        kind, payload = _payload(body, command)
        key = f"command:{team}:{body['trigger_id']}"
        await take(slack, new_request(kind, payload, key), payload)
        await ack()


def _payload(body: dict[str, Any], command: Command) -> tuple[str, ClassifyText | OpenChat | ForgetChannel]:
    """The kind and the payload of the request that a command makes."""
    team, channel, user, url = body["team_id"], body["channel_id"], body["user_id"], body["response_url"]
    if command.forget:
        return "forget_channel", ForgetChannel(team, channel, user, url)
    if body["command"] == "/chat":
        return "open_chat", OpenChat(team, channel, user, command.text, url)
    role = FEELINGS if command.feelings else "emotion"
    return "classify", ClassifyText(team, channel, user, command.text, url, role)


async def _open_chat(slack: SlackContext, job: Job[OpenChat]) -> None:
    """Post the question as the beginning of a thread, and have it answered there."""
    asked = job.payload
    team, channel, user = asked.team, asked.channel, asked.user
    strings = await slack.strings(team, user)
    ts = await _opened(slack, job) if job.resumed else None
    if ts is None:
        person = await slack.person(user)
        text = f"{strings('chat_opened', user=escape(person.name))}\n{quote(asked.text)}"
        root = {"request": job.key, "kind": "root", "user": user, "text": asked.text}
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
            await respond_once(slack, job, strings("not_member", bot=name))
            return
        ts = str(posted["ts"])
    job.posted = ts
    question = Question(team, channel, ts, ts, user, {"text": asked.text, "plain": True}, "command")
    await slack.services.storage.join(thread_key(team, channel, ts), user_key(team, user))
    await slack.inbox.accept(question_request("chat", question), follows=True)


async def _opened(slack: SlackContext, job: Job[OpenChat]) -> str | None:
    """The thread that an earlier process had opened for this request."""
    try:
        found = await slack.client.conversations_history(
            channel=job.payload.channel, limit=100, include_all_metadata=True
        )
    except SlackApiError as problem:
        if is_transient(problem):
            raise
        return None  # nothing can be read there, so nothing was posted
    for message in found["messages"]:
        if answer_payload(message).get("request") == job.key:
            return str(message["ts"])
    return None


async def _forget_channel(slack: SlackContext, job: Job[ForgetChannel]) -> None:
    """Forget a person's conversations in one channel."""
    payload = job.payload
    owner = user_key(payload.team, payload.user)
    threads = await slack.services.storage.owned(thread_key(payload.team, payload.channel, ""), owner)
    for thread in threads:
        await slack.services.conversations.forget(thread)
    strings = await slack.strings(payload.team, payload.user)
    await respond_once(slack, job, strings("forgotten_channel", count=len(threads)))
