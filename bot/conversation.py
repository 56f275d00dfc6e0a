"""A thread and a question become a streamed reply: what of the history fits the window, kept in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from weakref import WeakValueDictionary

from cachetools import LRUCache

from bot.engine import Engine, Message, Prompt, PromptTooLong, Sampling, count_prompt
from bot.roles import Role
from bot.storage import Storage, Turn
from config.settings import Settings

# When turns must go, the window is cut to this share of its room: its beginning then stays the
# same for several turns, and the engine's cached keys and values with it.
CHUNK = 0.75
MOST_WINDOWS = 10_000  # threads whose window is remembered


class QuestionTooLong(ValueError):
    """The question alone does not fit the model's window; the message says so to the person."""

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(f"This message is too long: {tokens} tokens, and {limit} fit. Please shorten it.")
        self.tokens, self.limit = tokens, limit


class UnknownRole(ValueError):
    """No role of this name that answers in words; the message names those that do."""


class Conversations:
    """All threads of the bot. One reply at a time in each, in the order they were asked for."""

    def __init__(
        self, engine: Engine, roles: Mapping[str, Role], storage: Storage, settings: Settings
    ) -> None:
        self._engine, self._roles, self._storage = engine, roles, storage
        self._limit = min(settings.context_tokens, engine.context_tokens)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._first: LRUCache[str, float] = LRUCache(
            MOST_WINDOWS
        )  # where a thread's window begins, in `Turn.at`

    async def reply(
        self,
        thread: str,
        text: str,
        *,
        author: str | None = None,
        author_id: str | None = None,
        role: str = "chat",
        ts: str | None = None,
        at: float | None = None,
        rebuild: Callable[[], Awaitable[Sequence[Turn]]] | None = None,
        on_trim: Callable[[], None] | None = None,
    ) -> AsyncGenerator[str]:
        """Stream the answer to `text` in `thread`; question and answer are stored.

        ts, at: the question's own id and time (seconds since 1970). Asking again under the same `ts`
            replaces the earlier answer, with the history that was there before the question.
        rebuild: reads a thread that is not known here from where it took place.
        on_trim: called once in a thread's life, when its oldest turns no longer fit.
        A generator closed early stores what was said so far. Raises QuestionTooLong, UnknownRole
        and what the engine raises.
        """
        speaks = self._speaking(role)
        lock = self._locks.setdefault(thread, asyncio.Lock())
        async with lock:
            await self._check_length(speaks, text)  # before it is stored, where it would displace other turns
            history, question = await self._open(
                thread, Turn("user", text, author, author_id, ts, at or time.time(), role), rebuild
            )
            prompt, sampling, trimmed = self._fit(thread, speaks, history, question)
            if trimmed and await self._storage.note_trimmed(thread) and on_trim is not None:
                on_trim()
            pieces: list[str] = []
            try:
                async with aclosing(self._engine.stream(prompt, sampling)) as stream:
                    async for piece in stream:
                        if piece:
                            pieces.append(piece)
                            yield piece
            finally:
                said = "".join(pieces).strip()
                if said:
                    await asyncio.shield(self._storage.answer(thread, question, said))

    async def absorb(self, thread: str, turns: Sequence[Turn]) -> None:
        """Take up what was said in a thread while the bot was not asked."""
        await self._storage.absorb(thread, turns)

    async def retract(self, thread: str, ts: str) -> None:
        """Delete one question and its answer, cached keys and values included."""
        async with self._locks.setdefault(thread, asyncio.Lock()):
            await self._storage.retract(thread, ts)
            await self._engine.forget(thread)

    async def forget(self, thread: str) -> None:
        """Delete a thread's history here, its cached keys and values included."""
        async with self._locks.setdefault(thread, asyncio.Lock()):
            await self._storage.forget(thread)
            self._first.pop(thread, None)
            await self._engine.forget(thread)

    async def forget_user(self, user: str) -> None:
        """Delete all that one person said, was answered and chose, cached keys and values included."""
        for thread in await self._storage.delete_user(user):
            self._first.pop(thread, None)
            await self._engine.forget(thread)

    def _speaking(self, role: str) -> Role:
        found = self._roles.get(role)
        if found is None or found.classifies:
            names = ", ".join(name for name, each in self._roles.items() if not each.classifies)
            raise UnknownRole(f"no role {role!r} that converses; there are: {names}")
        return found

    async def _check_length(self, role: Role, text: str) -> None:
        room = self._room(role)
        tokens = await count_prompt(self._engine, role.prompt(text))
        if tokens + room > self._limit:
            raise QuestionTooLong(tokens, self._limit - room)

    def _room(self, role: Role) -> int:
        """Tokens that are kept free for the answer."""
        return min((role.sampling or Sampling()).max_tokens, self._limit // 2)

    async def _open(
        self, thread: str, question: Turn, rebuild: Callable[[], Awaitable[Sequence[Turn]]] | None
    ) -> tuple[list[Turn], Turn]:
        if rebuild is not None and not await self._storage.turns(thread, limit=1):
            known = await self._storage.thread(thread)
            forgotten = known.forgotten_at or 0.0 if known else 0.0
            earlier = [turn for turn in await rebuild() if forgotten < turn.at < question.at]
            await self._storage.absorb(thread, earlier)
        question = await self._storage.ask(thread, question)
        return await self._storage.turns(thread, before=question), question

    def _fit(
        self, thread: str, role: Role, history: Sequence[Turn], question: Turn
    ) -> tuple[Prompt, Sampling, bool]:
        """The prompt with the newest turns that fit, the room for its answer, and whether turns went."""
        names = {turn.author_id or turn.author for turn in (*history, question) if turn.author}
        said = [_message(turn, len(names) > 1) for turn in history]
        text = _message(question, len(names) > 1).content
        sampling = role.sampling or Sampling()
        room = self._room(role)
        bare = self._engine.count(role.prompt(text, session=thread))
        if bare + room > self._limit:
            raise QuestionTooLong(bare, self._limit - room)
        start = next((i for i, turn in enumerate(history) if turn.at >= self._first.get(thread, 0.0)), 0)
        empty = self._engine.count(Prompt((Message("system", ""),)))
        costs = [max(1, self._engine.count(Prompt((Message("system", ""), m))) - empty) for m in said]
        start = window(costs, self._limit - room - bare, start)
        prompt = role.prompt(text, said[start:], session=thread)
        # Where a template's turns are not simply added up, the count of the whole decides.
        while (tokens := self._engine.count(prompt)) + room > self._limit and start < len(said):
            start += 1
            prompt = role.prompt(text, said[start:], session=thread)
        if tokens + room > self._limit:
            raise PromptTooLong(tokens, self._limit - room)
        if start and start < len(history):
            self._first[thread] = history[start].at
        return prompt, replace(sampling, max_tokens=min(sampling.max_tokens, self._limit - tokens)), start > 0


def window(costs: Sequence[int], room: int, start: int = 0) -> int:
    """Index of the first turn that stays when `room` tokens may be used by turns of these `costs`.

    The window that began at `start` keeps beginning there while it fits; when it does not, the oldest
    turns go until it fills at most CHUNK of the room, but the newest that fits always stays.
    """
    used = sum(costs[start:])
    if used <= room:
        return start
    while start < len(costs) and used > room * CHUNK:
        if start == len(costs) - 1 and used <= room:
            break
        used -= costs[start]
        start += 1
    return start


def _message(turn: Turn, named: bool) -> Message:
    if turn.speaker != "user":
        return Message("assistant", turn.text)
    if not (named and turn.author):
        return Message("user", turn.text)
    name = " ".join(turn.author.split())
    return Message("user", f"{name}: {turn.text}")
