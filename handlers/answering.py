"""Requests of the inbox become answers in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from slack_sdk.errors import SlackApiError

from bot.conversation import QuestionTooLong
from bot.engine import EngineBusy, EngineError, PromptTooLong
from bot.inbox import Job
from bot.storage import Turn
from bot.tags import split_tag
from handlers import blocks
from handlers.ask import Ask
from handlers.context import Slack, user_key
from handlers.emotions import Classified, classify
from handlers.language import Words
from handlers.looking import Unreadable, channel_in_question
from handlers.manners import echo
from handlers.pump import Pump
from handlers.reading import (
    ANSWER,
    NOTHING,
    Posted,
    answer_payload,
    fetch_thread,
    find_answer,
    message_text,
    thread_turns,
)
from handlers.writing import Writer

log = logging.getLogger(__name__)


class Answering:
    """The answerers of one connection; `register` hands them to the inbox."""

    def __init__(self, slack: Slack) -> None:
        self._slack = slack
        self.rate = 0.0  # characters a second of the last answer

    def register(self) -> None:
        """Take on the kinds of requests that are answered in threads."""
        inbox = self._slack.inbox
        inbox.register("chat", self.chat, waiting=self.waiting)
        inbox.register("maybe", self.maybe, waiting=None)
        inbox.register("emotion", self.emotion, quick=True)

    async def waiting(self, job: Job) -> None:
        """Say which place in the queue a request has."""
        ask = Ask(**job.request.payload)
        words = await self._slack.words(ask.team, ask.user)
        if not await self.status(ask, words("queued", place=job.place)):
            thread = ask.thread_ts if ask.thread_ts != ask.ts else None
            await self._slack.whisper(ask.channel, ask.user, words("queued_message", place=job.place), thread)

    async def maybe(self, job: Job) -> None:
        """A reply in a thread that is not known here: answered when the bot has spoken there before."""
        ask = Ask(**job.request.payload)
        me = (await self._slack.identity()).bot
        messages = await fetch_thread(self._slack, ask.channel, ask.thread_ts)
        if not any(message.get("bot_id") == me and message["ts"] < ask.ts for message in messages):
            await self._slack.services.storage.stay_out(ask.thread)
            job.dropped = True
            return
        await self._slack.services.storage.join(ask.thread)
        await self.chat(job)

    async def chat(self, job: Job) -> None:
        """A question in a thread."""
        ask = Ask(**job.request.payload)
        slack, words = self._slack, await self._slack.words(ask.team, ask.user)
        found = await self._found(job, ask)
        if found.final:
            job.posted = found.final
            return
        if job.late(slack.services.settings.answer_within):
            await self.say(job, ask, words("too_late"), found)
            return
        text = split_tag(await message_text(slack, ask.message))[1]
        files = bool(ask.message.get("files"))
        if not text:
            await self.say(job, ask, words("no_files" if files else "usage_mention"), found)
            return
        await slack.services.storage.join(ask.thread, user_key(ask.team, ask.user))
        await self.status(ask, words("thinking"))
        if ask.surface == "assistant":
            raw = str(ask.message.get("text") or "")
            try:
                if said := await channel_in_question(slack, raw, ask.channel, ask.thread_ts):
                    text = f"{said}\n\n{text}"
            except Unreadable:
                await self.say(job, ask, words("not_member", bot=(await slack.identity()).name), found)
                return
        if ask.surface == "mention" and ask.ts != ask.thread_ts:
            # Somebody called in the middle of a thread: read what was said before.
            await slack.services.conversations.absorb(ask.thread, await self._earlier(ask))
        notes = [words("no_files")] if files else []
        writer = Writer(
            slack,
            words,
            channel=ask.channel,
            thread_ts=ask.thread_ts,
            team=ask.team,
            user=ask.user,
            key=job.key,
            asked=ask.ts,
            on_posted=lambda ts: slack.inbox.note_posted(job, ts),
            unfinished=found.unfinished,
        )
        try:
            await self._write(job, ask, text, writer, words, notes)
        except QuestionTooLong as problem:
            await self.say(job, ask, words("too_long", tokens=problem.tokens, limit=problem.limit), found)
        except PromptTooLong as problem:
            await self.say(job, ask, words("too_long", tokens=problem.tokens, limit=problem.limit), found)
        except EngineBusy:
            await self.say(job, ask, words("overloaded"), found)
        except EngineError:
            log.exception("request %s: the engine failed", job.key)
            writer.feed("\n\n" + words("failed"))
            await writer.finish()

    async def emotion(self, job: Job) -> None:
        """A text with the tag #EMOTION#, answered in its thread."""
        ask = Ask(**job.request.payload)
        words = await self._slack.words(ask.team, ask.user)
        found = await self._found(job, ask)
        if found.final:
            job.posted = found.final
            return
        if job.late(self._slack.services.settings.answer_within):
            await self.say(job, ask, words("too_late"), found)
            return
        text = split_tag(await message_text(self._slack, ask.message))[1]
        result = await classify(self._slack, words, text, user_key(ask.team, ask.user))
        if result is None:
            await self.say(job, ask, words("usage_emotion"), found)
            return
        content = _emotion_content(result, words, job.key)
        ts = await self._post(job, ask, result.line, content, "emotion")
        why = await result.why(self._slack, words)
        if ts and why:
            content = _emotion_content(result, words, job.key, why)
            with contextlib.suppress(SlackApiError):  # the label stands; only its reason is missing
                await self._slack.client.chat_update(
                    channel=ask.channel,
                    ts=ts,
                    text=result.line,
                    blocks=content,
                    metadata=_metadata(job.key, "emotion", ask.ts),
                )

    async def apologise(self, job: Job) -> None:
        """Say that a request failed, in place of what stands of its answer."""
        ask = Ask(**job.request.payload)
        words = await self._slack.words(ask.team, ask.user)
        found = await self._found(job, ask)
        if found.final:
            job.posted = found.final
        else:
            await self.say(job, ask, words("failed"), found)

    async def say(self, job: Job, ask: Ask, text: str, found: Posted = NOTHING) -> None:
        """Answer a request with one of the bot's own sentences."""
        for ts in found.unfinished:
            with contextlib.suppress(SlackApiError):
                await self._slack.client.chat_delete(channel=ask.channel, ts=ts)
        await self._post(job, ask, text, [blocks.section(text)], "notice")

    async def status(self, ask: Ask, status: str) -> bool:
        """The line under the thread while the bot works; False where Slack shows none."""
        try:
            await self._slack.client.assistant_threads_setStatus(
                channel_id=ask.channel, thread_ts=ask.thread_ts, status=status
            )
        except SlackApiError as problem:
            log.info("assistant.threads.setStatus: %s", problem.response.get("error"))
            return False
        return True

    async def _found(self, job: Job, ask: Ask) -> Posted:
        if not job.resumed and not ask.replaces:
            return NOTHING
        messages = await fetch_thread(self._slack, ask.channel, ask.thread_ts, since=ask.ts)
        me = (await self._slack.identity()).bot
        found = find_answer(messages, me, job.key, ask.ts, job.posted)
        if found.final or not ask.replaces:
            return found
        old = [m["ts"] for m in messages if answer_payload(m).get("request") == ask.replaces]
        return Posted(None, (*found.unfinished, *old))

    async def _earlier(self, ask: Ask) -> list[Turn]:
        messages = await fetch_thread(self._slack, ask.channel, ask.thread_ts)
        earlier = [message for message in messages if float(message["ts"]) < float(ask.ts)]
        return await thread_turns(self._slack, ask.team, earlier)

    async def _write(
        self, job: Job, ask: Ask, text: str, writer: Writer, words: Words, notes: list[str]
    ) -> None:
        person = await self._slack.person(ask.user)

        def trimmed() -> None:
            notes.append(words("trimmed"))

        async def rebuild() -> Sequence[Turn]:
            return await self._earlier(ask) if ask.ts != ask.thread_ts else ()

        def begin() -> AsyncIterator[str]:
            return self._slack.services.conversations.reply(
                ask.thread,
                text,
                author=person.name,
                author_id=user_key(ask.team, ask.user),
                ts=ask.ts,
                at=float(ask.ts),
                rebuild=rebuild,
                on_trim=trimmed,
            )

        started = time.monotonic()
        pump = Pump(begin)
        stopping = asyncio.ensure_future(job.stop.wait())
        try:
            count = 0
            while not pump.over and not job.stop.is_set():
                await pump.more(stopping, writer.wait if writer.pending else None)
                for piece in pump.take():
                    count += len(piece)
                    writer.feed(piece)
                if writer.pending and not writer.wait:
                    await writer.flush()
            if job.stop.is_set():
                notes.append(words("stopped"))
                await pump.cancel()
            pump.check()
            if count:
                self.rate = count / max(0.001, time.monotonic() - started)
            await writer.finish(notes, empty="" if job.stop.is_set() else words("nothing_said"))
        finally:
            stopping.cancel()
            await pump.cancel()

    async def _post(
        self, job: Job, ask: Ask, text: str, content: list[blocks.Block], kind: str
    ) -> str | None:
        posted = await self._slack.client.chat_postMessage(
            channel=ask.channel,
            thread_ts=ask.thread_ts,
            text=text,
            blocks=content,
            metadata=_metadata(job.key, kind, ask.ts),
            unfurl_links=False,
            unfurl_media=False,
        )
        await self._slack.inbox.note_posted(job, str(posted["ts"]))
        return str(posted["ts"])


def _emotion_content(result: Classified, words: Words, key: str, why: str = "") -> list[blocks.Block]:
    return blocks.emotion_blocks(
        result.line, result.confidence, words, key, quote=echo(result.text, 300), why=why, buttons=False
    )


def _metadata(key: str, kind: str, asked: str) -> dict[str, Any]:
    payload = {"request": key, "kind": kind, "asked": asked, "part": 0, "final": True, "last": True}
    return {"event_type": ANSWER, "event_payload": payload}
