"""One answer written into a thread: by Slack's streaming methods, else by updating a message."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import ClientError
from slack_sdk.errors import SlackApiError
from slack_sdk.models.messages.chunk import BlocksChunk, MarkdownTextChunk
from slack_sdk.web.async_chat_stream import AsyncChatStream

from config.strings import Strings
from handlers.formatting.markdown import MarkdownSanitizer
from handlers.formatting.message_splitter import MessageSplitter
from handlers.formatting.sanitize import mrkdwn
from handlers.replies import blocks
from handlers.transport.context import SlackContext
from handlers.transport.slack_errors import error_code, is_gone, is_transient
from handlers.transport.thread_history import answer_metadata

log = logging.getLogger(__name__)

PERIOD = 1.0  # seconds between two calls for one message
REFUSED = 600.0  # seconds until streaming is tried again where the workspace refused it
NOTICE = 3_000  # characters of the plain text beside the blocks


class StreamWriter:
    """Writes one answer into a thread, over several messages when it is long.

    on_posted: called with the ts of each message once it stands in Slack.
    unfinished: messages that an earlier process left half-written; they are used again.
    """

    def __init__(
        self,
        slack: SlackContext,
        strings: Strings,
        *,
        channel: str,
        thread_ts: str,
        team: str,
        user: str,
        key: str,
        asked: str,
        edits: int = 0,
        on_posted: Callable[[str], Awaitable[None]],
        unfinished: Sequence[str] = (),
    ) -> None:
        self._slack, self._strings = slack, strings
        self._channel, self._thread, self._team, self._user = channel, thread_ts, team, user
        self._key, self._asked, self._edits = key, asked, edits
        self._on_posted = on_posted
        self._reuse = list(unfinished)
        self._sanitizer, self._splitter = MarkdownSanitizer(), MessageSplitter()
        self._pages = [""]
        self._page = 0  # which of the pages is being written
        self._shown = 0  # characters of it that stand in Slack
        self._ts: str | None = None
        self._stream: AsyncChatStream | None = None
        self._called = -PERIOD

    @property
    def wait(self) -> float:
        """Seconds until the next call is due; 0 when it may be made now."""
        return max(0.0, self._called + PERIOD - time.monotonic())

    @property
    def pending(self) -> bool:
        """Whether there is text that Slack does not show yet."""
        return len(self._pages) - 1 > self._page or len(self._pages[self._page]) > self._shown

    def feed(self, piece: str) -> None:
        """Take in a piece of the model's answer; nothing is sent."""
        self._put(self._sanitizer.feed(piece))

    async def flush(self) -> None:
        """Show what there is. One call a second for each message: wait for `wait` before."""
        while self._page < len(self._pages) - 1:
            await self._finish_page(last=False)
            self._page, self._shown, self._ts, self._stream = self._page + 1, 0, None, None
        text = self._pages[self._page]
        if len(text) <= self._shown or not text.strip():
            return
        if self._ts is None:
            await self._begin(text)
        else:
            await self._go_on(text)
        self._shown = len(text)

    async def finish(self, notes: Sequence[str] = (), empty: str = "") -> None:
        """Show the rest, with the buttons and `notes` below; `empty` stands for an answer of nothing."""
        self._put(self._sanitizer.end())
        self._pages[-1] += self._splitter.end()
        if not "".join(self._pages).strip() and empty:
            self._pages[-1] = empty
        while len(self._pages) - 1 > self._page and not self._pages[-1].strip():
            self._pages.pop()
        await self.flush() if len(self._pages) - 1 > self._page else None
        await self._finish_page(last=True, notes=notes)
        for ts in self._reuse:
            await self._try("chat.delete", self._slack.client.chat_delete(channel=self._channel, ts=ts))

    async def break_off(self, note: str) -> None:
        """Leave what stands in Slack, with `note` below and no button, to a later process."""
        if self._ts is not None or self._page:
            text = self._pages[self._page]
            content = [blocks.page_block(text)] if text.strip() else []
            await self._settle(text, [*content, blocks.context(note)], final=False, last=False)

    def _put(self, text: str) -> None:
        first, *others = self._splitter.feed(text)
        self._pages[-1] += first
        self._pages += others

    async def _begin(self, text: str) -> None:
        if self._reuse:
            self._ts = self._reuse.pop(0)
            await self._try("chat.stopStream", self._stop_stream())
            await self._update(text)
            return
        if time.monotonic() >= self._slack.refuses_streams_until and await self._start_stream(text):
            return
        await self._post(
            text, [blocks.page_block(text), blocks.stop_row(self._strings, self._key)], final=False
        )

    async def _start_stream(self, text: str) -> bool:
        stream = await self._slack.client.chat_stream(
            buffer_size=1,
            channel=self._channel,
            thread_ts=self._thread,
            recipient_team_id=self._team,
            recipient_user_id=self._user,
        )
        row = BlocksChunk(blocks=[blocks.stop_row(self._strings, self._key)])
        self._called = time.monotonic()
        try:
            await stream.append(chunks=[row, MarkdownTextChunk(text=text)])
        except SlackApiError as problem:
            if is_transient(problem) or is_gone(problem):
                raise  # a passing one may stand in Slack all the same: the inbox looks before it tries again
            log.info("this workspace streams nothing (%s): the message is updated", error_code(problem))
            self._slack.refuses_streams_until = time.monotonic() + REFUSED
            self._called = -PERIOD
            return False
        if not stream.ts:
            return False
        self._stream, self._ts = stream, stream.ts
        await self._on_posted(self._ts)
        return True

    async def _go_on(self, text: str) -> None:
        if self._stream is not None:
            await self._pace()
            try:
                await self._stream.append(markdown_text=text[self._shown :])
                return
            except (SlackApiError, ClientError, asyncio.TimeoutError) as problem:
                if is_gone(problem):
                    raise
                log.info("the stream ended (%s): the message is updated", error_code(problem))
                self._stream = None
                # Slack updates no message that it still takes for a stream.
                await self._try("chat.stopStream", self._stop_stream())
        await self._update(text)

    async def _stop_stream(self) -> None:
        await self._slack.client.chat_stopStream(channel=self._channel, ts=str(self._ts))

    async def _finish_page(self, last: bool, notes: Sequence[str] = ()) -> None:
        """The page's whole text, and with the last page the buttons instead of the stop button."""
        text = self._pages[self._page].strip("\n")
        finished = (
            blocks.answer_blocks(self._strings, text, self._key, notes) if last else [blocks.page_block(text)]
        )
        await self._settle(text, finished, final=True, last=last)

    async def _settle(self, text: str, content: list[blocks.Block], *, final: bool, last: bool) -> None:
        """Have the page's message show `content` and be no stream any more."""
        if self._ts is None:
            await self._post(text, content, final=final, last=last)
            return
        if self._stream is not None:
            await self._pace()
            rest = self._pages[self._page][self._shown :]
            try:
                # It is final once its buttons stand, so that a stop in between leaves no half of it.
                await self._stream.stop(markdown_text=rest or None, metadata=self._metadata(False, last))
            except (SlackApiError, ClientError, asyncio.TimeoutError) as problem:
                log.info("the stream ended (%s): the message is updated", error_code(problem))
            self._stream = None
        await self._pace()
        await self._slack.client.chat_update(
            channel=self._channel,
            ts=self._ts,
            text=_notice(text),
            blocks=content,
            metadata=self._metadata(final, last),
        )

    async def _post(self, text: str, content: list[blocks.Block], final: bool, last: bool = False) -> None:
        if self._reuse:
            self._ts = self._reuse.pop(0)
            await self._try("chat.stopStream", self._stop_stream())
            await self._slack.client.chat_update(
                channel=self._channel,
                ts=self._ts,
                text=_notice(text),
                blocks=content,
                metadata=self._metadata(final, last),
            )
            return
        self._called = time.monotonic()
        posted = await self._slack.client.chat_postMessage(
            channel=self._channel,
            thread_ts=self._thread,
            text=_notice(text),
            blocks=content,
            metadata=self._metadata(final, last),
            unfurl_links=False,
            unfurl_media=False,
        )
        self._ts = str(posted["ts"])
        await self._on_posted(self._ts)

    async def _update(self, text: str) -> None:
        if self._ts is None:
            return
        await self._pace()
        await self._slack.client.chat_update(
            channel=self._channel,
            ts=self._ts,
            text=_notice(text),
            blocks=[blocks.page_block(text), blocks.stop_row(self._strings, self._key)],
            metadata=self._metadata(False, False),
        )

    def _metadata(self, final: bool, last: bool) -> dict[str, Any]:
        return answer_metadata(
            self._key, "chat", self._asked, self._page, edits=self._edits, final=final, last=last
        )

    async def _pace(self) -> None:
        if self.wait:
            await asyncio.sleep(self.wait)
        self._called = time.monotonic()

    async def _try(self, method: str, call: Awaitable[Any]) -> None:
        """A call whose refusal changes nothing."""
        try:
            await call
        except SlackApiError as problem:
            log.info("%s: %s", method, error_code(problem))


def _notice(text: str) -> str:
    """What stands in a notification, where Slack shows no blocks."""
    return mrkdwn(text)[:NOTICE]
