"""Questions become answers in their threads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Sequence

from slack_sdk.errors import SlackApiError

from bot.conversation import QuestionTooLong
from bot.engine import EngineBusy, EngineError, NoLabel, PromptTooLong
from bot.inbox import Job
from bot.inbox.payloads import Payload, Question
from bot.roles import split_tag
from bot.storage import Turn
from config.strings import Strings
from handlers.formatting.message_markup import body_markup
from handlers.formatting.sanitize import escape, quote
from handlers.replies import blocks
from handlers.replies.channel_context import ChannelUnreadable, quote_viewed_channel
from handlers.replies.emotion_reply import Classified, classify
from handlers.replies.message_text import message_text
from handlers.replies.model_stream import ModelStream
from handlers.replies.stream_writer import StreamWriter
from handlers.replies.thread_turns import NOTHING_POSTED, PostedAnswer, find_answer, thread_turns
from handlers.transport.context import SlackContext, user_key
from handlers.transport.slack_errors import error_code
from handlers.transport.thread_history import answer_metadata, answer_payload, fetch_thread

log = logging.getLogger(__name__)


class ChatReplies:
    """Answers the questions of one connection; `register` hands its methods to the inbox."""

    def __init__(self, slack: SlackContext) -> None:
        self._slack = slack
        self.rate = 0.0  # characters a second of the last answer

    def register(self) -> None:
        """Take on the kinds of requests that are answered in threads."""
        inbox = self._slack.inbox
        inbox.register("chat", self.chat, waiting=self.waiting)
        inbox.register("maybe", self.maybe, waiting=None)
        inbox.register("emotion", self.emotion, quick=True)

    async def waiting(self, job: Job[Question]) -> None:
        """Say which place in the queue a request has."""
        question = job.payload
        strings = await self._slack.strings(question.team, question.user)
        if not await self.status(question, strings("queued", place=job.place)):
            thread = question.thread_ts if question.thread_ts != question.ts else None
            await self._slack.post_ephemeral(
                question.channel, question.user, strings("queued_message", place=job.place), thread
            )

    async def maybe(self, job: Job[Question]) -> None:
        """A reply in a thread that is not known here: answered when the bot has spoken there before."""
        question = job.payload
        me = (await self._slack.identity()).bot
        messages = await fetch_thread(self._slack, question.channel, question.thread_ts)
        if not any(message.get("bot_id") == me and message["ts"] < question.ts for message in messages):
            await self._slack.services.storage.stay_out(job.request.thread)
            job.dropped = True
            return
        await self._slack.services.storage.join(job.request.thread)
        await self.chat(job)

    async def chat(self, job: Job[Question]) -> None:
        """A question in a thread."""
        question = job.payload
        slack, strings = self._slack, await self._slack.strings(question.team, question.user)
        found = await self._found(job, question)
        if found.final:
            job.posted = found.final
            return
        if job.late(slack.services.settings.answer_within):
            await self.say(job, question, strings("too_late"), found)
            return
        text = split_tag(await message_text(slack, question.message))[1]
        files = bool(question.message.get("files"))
        if not text:
            await self.say(job, question, strings("no_files" if files else "usage_mention"), found)
            return
        await slack.services.storage.join(job.request.thread, user_key(question.team, question.user))
        await self.status(question, strings("thinking"))
        if question.surface == "assistant":
            raw = body_markup(question.message)
            try:
                if quoted := await quote_viewed_channel(slack, raw, question.channel, question.thread_ts):
                    text = f"{quoted}\n\n{text}"
            except ChannelUnreadable:
                await self.say(job, question, strings("not_member", bot=(await slack.identity()).name), found)
                return
        if question.surface == "mention" and question.ts != question.thread_ts:
            # Mentioned in the middle of a thread: read what was said before.
            await slack.services.conversations.absorb(job.request.thread, await self._earlier(question))
        notes = [strings("no_files")] if files else []
        writer = StreamWriter(
            slack,
            strings,
            channel=question.channel,
            thread_ts=question.thread_ts,
            team=question.team,
            user=question.user,
            key=job.key,
            asked=question.ts,
            edits=question.edits,
            on_posted=lambda ts: slack.inbox.note_posted(job, ts),
            unfinished=found.unfinished,
        )
        try:
            await self._write(job, text, writer, strings, notes)
            if found.unfinished:
                await self.status(question, "")  # Slack takes it away for a new message alone
        except (QuestionTooLong, PromptTooLong) as problem:
            notice = strings("too_long", tokens=problem.tokens, limit=problem.limit)
            await self.say(job, question, notice, found)
        except EngineBusy:
            await self.say(job, question, strings("overloaded"), found)
        except EngineError:
            log.exception("request %s: the engine failed", job.key)
            writer.feed("\n\n" + strings("failed"))
            await writer.finish()

    async def emotion(self, job: Job[Question]) -> None:
        """A text with the tag #EMOTION#, answered in its thread."""
        question = job.payload
        strings = await self._slack.strings(question.team, question.user)
        found = await self._found(job, question)
        if found.final:
            job.posted = found.final
            return
        if job.late(self._slack.services.settings.answer_within):
            await self.say(job, question, strings("too_late"), found)
            return
        text = split_tag(await message_text(self._slack, question.message))[1]
        try:
            result = await classify(self._slack, strings, text, user_key(question.team, question.user))
        except NoLabel as problem:
            await self.say(job, question, strings("no_label", answer=escape(problem.answer)), found)
            return
        if result is None:
            await self.say(job, question, strings("usage_mention"), found)
            return
        content = _emotion_content(result, strings, job.key)
        ts = await self._post(job, question, result.line, content, "emotion", found.unfinished)
        reason = await result.reason(self._slack, strings)
        if reason:
            content = _emotion_content(result, strings, job.key, reason.block)
            with contextlib.suppress(SlackApiError):  # the label stands; only its reason is missing
                await self._slack.client.chat_update(
                    channel=question.channel,
                    ts=ts,
                    text=result.line,
                    blocks=content,
                    metadata=answer_metadata(job.key, "emotion", question.ts, edits=question.edits),
                )

    async def apologise(self, job: Job[Payload], question: Question) -> None:
        """Say that `question`, the request of `job`, failed, in place of what stands of its answer."""
        strings = await self._slack.strings(question.team, question.user)
        found = await self._found(job, question)
        if found.final:
            job.posted = found.final
        else:
            await self.say(job, question, strings("failed"), found)

    async def retract(self, job: Job[Payload]) -> None:
        """The question was deleted: its answer goes, as far as it stands, and both are forgotten."""
        question = job.payload
        if not isinstance(question, Question):
            return
        job.resumed = True
        found = await self._found(job, question)
        for ts in (*found.unfinished, *filter(None, (found.final,))):
            await self._delete(question, ts)
        await self._slack.services.conversations.retract(job.request.thread, question.ts)
        await self.status(question, "")

    async def say(
        self, job: Job[Payload], question: Question, text: str, found: PostedAnswer = NOTHING_POSTED
    ) -> None:
        """Answer a request with one of the bot's own sentences."""
        for ts in found.unfinished:
            await self._delete(question, ts)
        await self._post(job, question, text, [blocks.section(text)], "notice")

    async def status(self, question: Question, status: str) -> bool:
        """The line under the thread while the bot works; False where Slack shows none."""
        try:
            await self._slack.client.assistant_threads_setStatus(
                channel_id=question.channel, thread_ts=question.thread_ts, status=status
            )
        except SlackApiError as problem:
            log.info("assistant.threads.setStatus: %s", error_code(problem))
            return False
        return True

    async def _found(self, job: Job[Payload], question: Question) -> PostedAnswer:
        if not job.resumed and not question.replaces:
            return NOTHING_POSTED
        messages = await fetch_thread(self._slack, question.channel, question.thread_ts, since=question.ts)
        me = (await self._slack.identity()).bot
        found = find_answer(messages, me, job.key, question.ts, job.posted, question.edits)
        if found.final or not question.replaces:
            return found
        old = [m["ts"] for m in messages if answer_payload(m).get("request") == question.replaces]
        return PostedAnswer(None, (*found.unfinished, *old))

    async def _earlier(self, question: Question) -> list[Turn]:
        messages = await fetch_thread(self._slack, question.channel, question.thread_ts)
        earlier = [message for message in messages if float(message["ts"]) < float(question.ts)]
        return await thread_turns(self._slack, question.team, earlier)

    async def _write(
        self, job: Job[Question], text: str, writer: StreamWriter, strings: Strings, notes: list[str]
    ) -> None:
        question = job.payload
        person = await self._slack.person(question.user)

        def trimmed() -> None:
            notes.append(strings("trimmed"))

        async def rebuild() -> Sequence[Turn]:
            return await self._earlier(question) if question.ts != question.thread_ts else ()

        def begin() -> AsyncGenerator[str]:
            return self._slack.services.conversations.reply(
                job.request.thread,
                text,
                author=person.name,
                author_id=user_key(question.team, question.user),
                ts=question.ts,
                at=float(question.ts),
                rebuild=rebuild,
                on_trim=trimmed,
            )

        started = time.monotonic()
        stream = ModelStream(begin)
        stopping = asyncio.ensure_future(job.stop.wait())
        try:
            count = 0
            while not stream.over and not job.stop.is_set():
                await stream.more(stopping, writer.wait if writer.pending else None)
                for piece in stream.take():
                    count += len(piece)
                    writer.feed(piece)
                if writer.pending and not writer.wait:
                    await writer.flush()
            if job.outdated:
                return  # the inbox has it answered anew, or taken back
            if job.stop.is_set():
                notes.append(strings("stopped"))
                await stream.cancel()
            stream.check()
            if count:
                self.rate = count / max(0.001, time.monotonic() - started)
            await writer.finish(notes, empty="" if job.stop.is_set() else strings("nothing_said"))
        except asyncio.CancelledError:  # the bot is told to stop, and its next start goes on
            try:
                await writer.break_off(strings("stopping"))
            except Exception:  # whatever Slack says to it, the request stays open
                log.exception("request %s: it could not be said that its answer goes on later", job.key)
            raise
        finally:
            stopping.cancel()
            await stream.cancel()

    async def _delete(self, question: Question, ts: str) -> None:
        with contextlib.suppress(SlackApiError):
            await self._slack.client.chat_delete(channel=question.channel, ts=ts)

    async def _post(
        self,
        job: Job[Payload],
        question: Question,
        text: str,
        content: list[blocks.Block],
        kind: str,
        unfinished: Sequence[str] = (),
    ) -> str:
        """Post an answer, or have it take the place of the first of the `unfinished` messages."""
        metadata = answer_metadata(job.key, kind, question.ts, edits=question.edits)
        if unfinished:
            first, *others = unfinished
            with contextlib.suppress(SlackApiError):  # Slack updates no message that it takes for a stream
                await self._slack.client.chat_stopStream(channel=question.channel, ts=first)
            await self._slack.client.chat_update(
                channel=question.channel, ts=first, text=text, blocks=content, metadata=metadata
            )
            for ts in others:
                await self._delete(question, ts)
            await self.status(question, "")
            job.posted = first
            return first
        posted = await self._slack.client.chat_postMessage(
            channel=question.channel,
            thread_ts=question.thread_ts,
            text=text,
            blocks=content,
            metadata=metadata,
            unfurl_links=False,
            unfurl_media=False,
        )
        await self._slack.inbox.note_posted(job, str(posted["ts"]))
        return str(posted["ts"])


def _emotion_content(
    result: Classified, strings: Strings, key: str, reason: blocks.Block | None = None
) -> list[blocks.Block]:
    return blocks.emotion_blocks(
        result.line,
        result.confidence,
        strings,
        key,
        quoted=quote(result.text, 300),
        reason=reason,
        buttons=False,
    )
