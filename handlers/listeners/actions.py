"""The buttons under the bot's messages. Each checks who pressed it before it does anything."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.inbox import Job
from bot.inbox.payloads import ClassifyText, ForgetThread, Payload, Question, ShareEmotion, decode_or_explain
from bot.storage import Feedback, Request
from config.strings import Strings
from handlers.formatting.message_markup import body_markup
from handlers.formatting.sanitize import escape, quote
from handlers.listeners.intake import kind_of, new_request, question_request, take
from handlers.replies import blocks
from handlers.replies.emotion_reply import classify
from handlers.replies.thread_turns import answer_text
from handlers.transport.context import SlackContext, user_key
from handlers.transport.response_url import respond_once

P = TypeVar("P", bound=Payload)


def register(app: AsyncApp, slack: SlackContext) -> None:
    """Listen for the buttons."""

    async def share(job: Job[ShareEmotion]) -> None:
        await _share(slack, job)

    async def forget(job: Job[ForgetThread]) -> None:
        await _forget(slack, job)

    slack.inbox.register("share", share, quick=True)
    slack.inbox.register("forget", forget)

    @app.action(blocks.STOP)
    async def stop_pressed(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        press = await _press(slack, body, Question)
        if press is None or not await press.by_asker():
            return
        job = slack.inbox.job(press.request.key)
        if job is None:
            await press.post_ephemeral("already_done")
        else:
            job.stop.set()

    @app.action(blocks.AGAIN)
    async def again_pressed(ack: AsyncAck, body: dict[str, Any]) -> None:
        press = await _press(slack, body, Question)
        if press is not None and await press.by_asker():
            anew = replace(press.payload, again=press.payload.again + 1, replaces=press.request.key)
            kind = kind_of(body_markup(anew.message), (await slack.identity()).user)
            await take(slack, question_request(kind, anew), anew, press.thread_ts)
        await ack()

    @app.action(blocks.FORGET)
    async def forget_pressed(ack: AsyncAck, body: dict[str, Any]) -> None:
        press = await _press(slack, body, Question)
        if press is not None and await press.by_owner():
            payload = ForgetThread(press.team, press.channel, press.user, press.thread_ts)
            # A forgotten thread may be forgotten again.
            key = f"action:forget:{press.team}:{press.action['action_ts']}"
            request = new_request("forget", payload, key, press.request.thread)
            await take(slack, request, payload, press.thread_ts)
        await ack()

    @app.action(blocks.FEEDBACK)
    async def feedback_given(ack: AsyncAck, body: dict[str, Any]) -> None:
        press = await _press(slack, body, Question)
        if press is not None:
            await _store_feedback(slack, press)
            await press.post_ephemeral("thanks")
        await ack()

    @app.action(blocks.SHARE)
    async def share_pressed(ack: AsyncAck, body: dict[str, Any]) -> None:
        press = await _press(slack, body, ClassifyText)
        if press is not None and await press.by_asker():
            about, url = press.request.key, body.get("response_url", "")
            payload = ShareEmotion(press.team, press.channel, press.user, about, url, press.thread_ts)
            key = f"action:share:{press.team}:{about}"  # however often it is pressed
            await take(slack, new_request("share", payload, key, press.request.thread), payload)
        await ack()


@dataclass
class _Press(Generic[P]):
    """A pressed button: who pressed it, where, and the request that its message answers."""

    slack: SlackContext
    body: dict[str, Any]
    request: Request
    payload: P

    def __post_init__(self) -> None:
        self.team, self.user = self.body["team"]["id"], self.body["user"]["id"]
        self.channel = self.body["channel"]["id"]
        container = self.body["container"]
        self.ts: str = container["message_ts"]
        self.thread_ts: str | None = container.get("thread_ts")
        self.action = self.body["actions"][0]

    async def by_asker(self) -> bool:
        """Whether the person who asked pressed it; anybody else is told that only they may."""
        return await self._by(self.request.user, "only_asker")

    async def by_owner(self) -> bool:
        """Whether who began the conversation pressed it; anybody else is told that only they may."""
        thread = await self.slack.services.storage.thread(self.request.thread)
        return await self._by(thread.owner if thread and thread.owner else self.request.user, "only_owner")

    async def _by(self, owner: str | None, refusal: str) -> bool:
        if owner == user_key(self.team, self.user):
            return True
        person = await self.slack.person((owner or "").partition(":")[2])
        await self.post_ephemeral(refusal, user=escape(person.name))
        return False

    async def post_ephemeral(self, key: str, **values: object) -> None:
        """Show a string to who pressed it."""
        strings = await self.slack.strings(self.team, self.user)
        await self.slack.post_ephemeral(self.channel, self.user, strings(key, **values), self.thread_ts)


async def _press(slack: SlackContext, body: dict[str, Any], payload_type: type[P]) -> _Press[P] | None:
    """The press; None (and the presser is told) when its request can be read no more."""
    action = body["actions"][0]
    value = str(action.get("value") or "")
    key = value[1:] if action["action_id"] == blocks.FEEDBACK else value
    request = await slack.services.storage.request(key)
    if request is not None:
        payload = decode_or_explain(request.kind, request.payload)
        if isinstance(payload, payload_type):
            return _Press(slack, body, request, payload)
    strings = await slack.strings(body["team"]["id"], body["user"]["id"])
    thread = body["container"].get("thread_ts")
    await slack.post_ephemeral(body["channel"]["id"], body["user"]["id"], strings("gone"), thread)
    return None


async def _store_feedback(slack: SlackContext, press: _Press[Question]) -> None:
    thread, ts = press.request.thread, press.payload.ts
    turns = await slack.services.storage.turns(thread)
    question = next((turn.text for turn in turns if turn.ts == ts and turn.speaker == "user"), None)
    answer = next((turn.text for turn in turns if turn.ts == ts and turn.speaker == "assistant"), None)
    await slack.services.storage.give_feedback(
        Feedback(
            thread=thread,
            answer_ts=press.ts,
            user=user_key(press.team, press.user),
            verdict=1 if press.action["value"].startswith("+") else -1,
            question=question,
            answer=answer or answer_text(press.body.get("message") or {}) or None,
            at=time.time(),
        )
    )


async def _share(slack: SlackContext, job: Job[ShareEmotion]) -> None:
    """Put a classification where everybody sees it, in its thread if it has one."""
    payload = job.payload
    request = await slack.services.storage.request(payload.about)
    about = decode_or_explain(request.kind, request.payload) if request else None
    strings: Strings = await slack.strings(payload.team, payload.user)
    if not isinstance(about, ClassifyText):
        await respond_once(slack, job, strings("gone"))
        return
    user = user_key(payload.team, payload.user)
    result = await classify(slack, strings, about.text, user, about.role)
    if result is None:
        return
    person = await slack.person(payload.user)
    quoted = quote(about.text, 1000)
    content = blocks.emotion_blocks(
        result.line, result.confidence, strings, job.key, quoted=quoted, buttons=False
    )
    content.insert(1, blocks.context(strings("shared_by", user=escape(person.name))))
    await respond_once(slack, job, f"{result.line}\n{quoted}", content, in_channel=True)


async def _forget(slack: SlackContext, job: Job[ForgetThread]) -> None:
    """Forget a thread, after what was asked there before has been answered."""
    payload = job.payload
    await slack.services.conversations.forget(job.request.thread)
    strings = await slack.strings(payload.team, payload.user)
    await slack.post_ephemeral(payload.channel, payload.user, strings("forgotten"), payload.thread_ts)
