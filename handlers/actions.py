"""The buttons under the bot's messages. Each looks at who pressed it before it does anything."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.inbox import Job
from bot.storage import Feedback, Request
from handlers import blocks
from handlers.ask import Ask
from handlers.asking import take
from handlers.context import Slack, user_key
from handlers.emotions import classify
from handlers.language import Words
from handlers.manners import echo, escape
from handlers.private import respond, respond_once
from handlers.reading import answer_text


def register(app: AsyncApp, slack: Slack) -> None:
    """Listen for the buttons."""

    async def share(job: Job) -> None:
        await _share(slack, job)

    async def forget(job: Job) -> None:
        await _forget(slack, job)

    slack.inbox.register("share", share, quick=True)
    slack.inbox.register("forget", forget)

    @app.action(blocks.STOP)
    async def stop_pressed(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        press = await _press(slack, body)
        if press is None or not await press.by_asker():
            return
        job = slack.inbox.job(press.request.key)
        if job is None:
            await press.whisper("already_done")
        else:
            job.stop.set()

    @app.action(blocks.AGAIN)
    async def again_pressed(ack: AsyncAck, body: dict[str, Any]) -> None:
        press = await _press(slack, body)
        if press is not None and await press.by_asker():
            ask = Ask(**press.request.payload)
            anew = replace(ask, again=ask.again + 1, replaces=press.request.key)
            await take(slack, anew.request("chat"), press.channel, press.user, press.thread_ts)
        await ack()

    @app.action(blocks.FORGET)
    async def forget_pressed(ack: AsyncAck, body: dict[str, Any]) -> None:
        press = await _press(slack, body)
        if press is not None and await press.by_owner():
            await take(slack, press.as_request("forget"), press.channel, press.user, press.thread_ts)
        await ack()

    @app.action(blocks.JUDGE)
    async def judged(ack: AsyncAck, body: dict[str, Any]) -> None:
        press = await _press(slack, body)
        if press is not None:
            await _judge(slack, press)
            await press.whisper("thanks")
        await ack()

    @app.action(blocks.SHARE)
    async def share_pressed(ack: AsyncAck, body: dict[str, Any]) -> None:
        press = await _press(slack, body)
        if press is not None and await press.by_asker():
            await take(slack, press.as_request("share"), press.channel, press.user)
        await ack()


class _Press:
    """A pressed button: who pressed it, where, and the request that its message answers."""

    def __init__(self, slack: Slack, body: dict[str, Any], request: Request) -> None:
        self._slack, self.body, self.request = slack, body, request
        self.team, self.user = body["team"]["id"], body["user"]["id"]
        self.channel = body["channel"]["id"]
        container = body["container"]
        self.ts: str = container["message_ts"]
        self.thread_ts: str | None = container.get("thread_ts")
        self.action = body["actions"][0]

    async def by_asker(self) -> bool:
        """Whether the person who asked pressed it; anybody else is told that only they may."""
        return await self._by(self.request.user, "only_asker")

    async def by_owner(self) -> bool:
        """Whether who began the conversation pressed it; anybody else is told that only they may."""
        thread = await self._slack.services.storage.thread(self.request.thread)
        return await self._by(thread.owner if thread and thread.owner else self.request.user, "only_owner")

    async def _by(self, owner: str | None, refusal: str) -> bool:
        if owner == user_key(self.team, self.user):
            return True
        person = await self._slack.person((owner or "").partition(":")[2])
        await self.whisper(refusal, user=escape(person.name))
        return False

    async def whisper(self, key: str, **values: object) -> None:
        """Tell the presser something."""
        words = await self._slack.words(self.team, self.user)
        await self._slack.whisper(self.channel, self.user, words(key, **values), self.thread_ts)

    def as_request(self, kind: str) -> Request:
        """The press as a request of its own; pressing twice is one."""
        payload = {
            "team": self.team,
            "channel": self.channel,
            "user": self.user,
            "about": self.request.key,
            "thread_ts": self.thread_ts,
            "response_url": self.body.get("response_url", ""),
        }
        # A forgotten thread may be forgotten again; a share is one share.
        once = self.request.key if kind == "share" else self.action["action_ts"]
        key = f"action:{kind}:{self.team}:{once}"
        return Request(key, self.request.thread, kind, payload, user_key(self.team, self.user))


async def _press(slack: Slack, body: dict[str, Any]) -> _Press | None:
    """The press, or None (and the presser is told) when its request is no longer stored."""
    action = body["actions"][0]
    value = str(action.get("value") or "")
    key = value[1:] if action["action_id"] == blocks.JUDGE else value
    request = await slack.services.storage.request(key)
    if request is None:
        words = await slack.words(body["team"]["id"], body["user"]["id"])
        thread = body["container"].get("thread_ts")
        await slack.whisper(body["channel"]["id"], body["user"]["id"], words("gone"), thread)
        return None
    return _Press(slack, body, request)


async def _judge(slack: Slack, press: _Press) -> None:
    ask = Ask(**press.request.payload)
    turns = await slack.services.storage.turns(ask.thread)
    question = next((turn.text for turn in turns if turn.ts == ask.ts and turn.speaker == "user"), None)
    answer = next((turn.text for turn in turns if turn.ts == ask.ts and turn.speaker == "assistant"), None)
    await slack.services.storage.give_feedback(
        Feedback(
            thread=ask.thread,
            answer_ts=press.ts,
            user=user_key(press.team, press.user),
            verdict=1 if press.action["value"].startswith("+") else -1,
            question=question,
            answer=answer or answer_text(press.body.get("message") or {}) or None,
            at=time.time(),
        )
    )


async def _share(slack: Slack, job: Job) -> None:
    """Put a classification where everybody sees it, in its thread if it has one."""
    asked = job.request.payload
    about = await slack.services.storage.request(asked["about"])
    words: Words = await slack.words(asked["team"], asked["user"])
    if about is None:
        await respond(asked["response_url"], words("gone"))
        return
    text, role = about.payload["text"], about.payload.get("role", "emotion")
    result = await classify(slack, words, text, user_key(asked["team"], asked["user"]), role)
    if result is None:
        return
    person = await slack.person(asked["user"])
    content = blocks.emotion_blocks(
        result.line, result.confidence, words, job.key, quote=echo(text, 1000), buttons=False
    )
    content.insert(1, blocks.context(words("shared_by", user=escape(person.name))))
    await respond_once(
        slack,
        job,
        f"{result.line}\n{echo(text, 1000)}",
        content,
        in_channel=True,
        thread_ts=asked["thread_ts"],
    )


async def _forget(slack: Slack, job: Job) -> None:
    """Forget a thread, after what was asked there before has been answered."""
    asked = job.request.payload
    await slack.services.conversations.forget(job.request.thread)
    words = await slack.words(asked["team"], asked["user"])
    await slack.whisper(asked["channel"], asked["user"], words("forgotten"), asked["thread_ts"])
