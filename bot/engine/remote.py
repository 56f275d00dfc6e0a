"""An OpenAI-compatible server behind the engine's two methods: llama.cpp, vLLM, another of these bots.

`score` asks for the log-probabilities of the answer's first token and compares the labels by them.
Where several labels begin with the same token, the answer is continued from there. Where the server
tells none for a text, or none of a label, that text is asked for the answer itself: its label then has
UNSURE as its probability, whatever the model thinks, because nothing more is known. A server that told
none several times on end is asked for answers alone for a while.

Some templates begin the model's thought in the prompt, and the answer then is `…</think>answer`. Whether a
server is like that is told by its first answer, which is held back until it ends or a thought in it does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from bot.app.proxies import open_url, proxy_for
from bot.engine.errors import EngineBusy, EngineError, NoLabel, PromptTooLong
from bot.engine.interface import AnsweredScores, CutOff, Prompt, Sampling
from bot.engine.label_match import answered_label, best_token, compare
from bot.engine.text.thoughts import ThoughtFilter

log = logging.getLogger(__name__)

UNSURE = 0.75  # probability of an answered label where the server tells none
TOP = 20  # alternatives a token: the most that OpenAI's shape allows
DEPTH = 6  # tokens that labels may have in common at their beginning
MUTE_AFTER = 3  # replies on end without log-probabilities, until they are not asked for
RETRY_SECONDS = 300.0  # for which they are not
THOUGHT_TOKENS = 1024  # that a reasoning model may write before a label
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 120.0  # between two pieces of an answer
_EXTRA = ("top_k", "min_p", "repetition_penalty")  # known to most local servers, refused by some others


class RemoteEngine:
    """One model on another server, by the address of its API (`http://host:port/v1`).

    model: its name there; empty takes the first that the server lists.
    """

    def __init__(self, url: str, *, model: str = "", api_key: str = "", context_tokens: int = 4096) -> None:
        parts = urlsplit(url.rstrip("/"))
        self._url = f"{parts.scheme}://{parts.netloc}{parts.path or '/v1'}"
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._context = context_tokens
        self._model = model
        self._plain = False  # the server refuses what OpenAI's does not know
        self._without = 0  # replies on end that told no log-probabilities
        self._mute_since = 0.0  # monotonic seconds
        # Whether thoughts come without their opening tag; None: not known yet.
        self._hides: bool | None = None
        self._http: aiohttp.ClientSession | None = None
        self._discover()

    @property
    def name(self) -> str:
        return self._model or "remote"

    @property
    def context_tokens(self) -> int:
        return self._context

    def count(self, prompt: Prompt) -> int:
        """A guess on the safe side: the tokenizer is on the other server."""
        return sum(5 + _guess(message.content) for message in prompt.messages) + _guess(prompt.opening)

    async def score(self, prompt: Prompt, labels: Sequence[str], *, exact: bool = True) -> list[float]:
        telling = self._without < MUTE_AFTER or time.monotonic() - self._mute_since >= RETRY_SECONDS
        if telling and not self._hides:  # else the first token is one of a thought
            scores = await self._compare(prompt, labels, DEPTH)
            if scores is not None:
                return scores
        return await self._ask_for_label(prompt, labels)

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str]:
        body = self._body(prompt, sampling) | {"stream": True}
        hidden = self._hides is not False and not prompt.opening
        thoughts = ThoughtFilter(begun=bool(prompt.opening), hidden=hidden)
        reason = None  # why the answer ended, once it has
        async with self._post(body) as answer:
            async for event in _events(answer):
                if event.get("error"):
                    raise EngineError(f"the server at LLM_URL failed: {_said(event)}")
                for text, ended_by in _deltas(event):
                    reason = ended_by or reason
                    piece = thoughts.push(text)
                    if thoughts.unopened:
                        self._hides = True
                    if piece:
                        yield piece
        if reason == "length":  # within a thought it leaves no answer
            yield CutOff("" if self._hides and thoughts.waiting else thoughts.flush())
            return
        if reason and hidden and not thoughts.unopened:  # a model that hides its thoughts may leave one out
            self._hides = None if self._hides else False
        if rest := thoughts.flush():
            yield rest
        if not reason:
            raise EngineError("the server at LLM_URL broke its answer off")

    async def forget(self, session: str | None = None) -> None:
        """What the other server caches is its own."""

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def _ask_for_label(self, prompt: Prompt, labels: Sequence[str]) -> AnsweredScores:
        """Scores by the label that the model answers. Raises NoLabel where that is none."""
        longest = max(len(label) for label in labels)
        enough = 2 * longest + 4
        room = min(enough + THOUGHT_TOKENS, self._context - self.count(prompt))
        said = ""
        greedy = Sampling(max_tokens=max(enough, room), temperature=0.0)
        async with aclosing(self.stream(prompt, greedy)) as pieces:
            async for piece in pieces:
                said += piece
                if len(said) >= longest and (answered_label(said, labels) or len(said) > 8 * enough):
                    break
        chosen = answered_label(said, labels)
        if chosen is None:
            raise NoLabel(said)
        rest = math.log((1 - UNSURE) / max(1, len(labels) - 1))
        return AnsweredScores(math.log(UNSURE) if label == chosen else rest for label in labels)

    async def _compare(self, prompt: Prompt, labels: Sequence[str], depth: int) -> list[float] | None:
        """Each label's log-probability by the first token; None where the server does not tell it."""
        top = await self._top(prompt)
        scores = compare(top, labels) if top else None
        if scores is None:
            return None
        # Labels that begin with the same token are told apart by what follows it.
        for token, alike in best_token(top, labels).items():
            if len(alike) > 1:
                if depth == 0:
                    return None
                opened = Prompt(prompt.messages, prompt.shared, prompt.opening + token)
                rests = [labels[at].removeprefix(token) for at in alike]
                deeper = await self._compare(opened, rests, depth - 1)
                if deeper is None:
                    return None
                for at, more in zip(alike, deeper, strict=True):
                    scores[at] += more
        return scores

    async def _top(self, prompt: Prompt) -> dict[bytes, float]:
        """The likeliest first tokens and their log-probabilities; empty where the server tells none."""
        body = self._body(prompt, Sampling(max_tokens=1, temperature=0.0))
        body |= {"logprobs": True, "top_logprobs": TOP}
        top: dict[bytes, float] = {}
        with suppress(_Refused):
            async with self._post(body) as answer:
                with suppress(ValueError):  # no JSON
                    top = _top(await answer.json(content_type=None))
        self._without = 0 if top else self._without + 1
        if self._without == MUTE_AFTER:
            log.warning("the server at LLM_URL tells no log-probabilities; confidence is not measured")
        if self._without >= MUTE_AFTER:
            self._mute_since = time.monotonic()
        return top

    def _body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        messages = [{"role": each.speaker, "content": each.content} for each in prompt.messages]
        if prompt.opening:  # continued by llama.cpp, vLLM and this bot; others answer afresh
            messages.append({"role": "assistant", "content": prompt.opening})
        body: dict[str, Any] = {
            "model": self._model,
            "messages": messages,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            "stop": list(sampling.stop[:4]) or None,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p or None,
            "repetition_penalty": sampling.repetition_penalty,
            "presence_penalty": sampling.presence_penalty or None,
            "frequency_penalty": sampling.frequency_penalty or None,
            "logit_bias": {str(token): bias for token, bias in sampling.logit_bias} or None,
        }
        return {key: value for key, value in body.items() if value is not None}

    @asynccontextmanager
    async def _post(self, body: dict[str, Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a completion. Raises EngineError, its kinds, and _Refused for log-probabilities."""
        if not self._model:
            await asyncio.to_thread(self._discover)
            body = body | {"model": self._model}
        if self._plain:
            body = {key: value for key, value in body.items() if key not in _EXTRA}
        try:
            address = f"{self._url}/chat/completions"
            async with self._session().post(address, json=body, proxy=proxy_for(address)) as answer:
                if answer.status < 400:
                    yield answer
                    return
                problem = await self._problem(answer, body)
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as reason:
            raise EngineError(
                f"the server at LLM_URL ({self._url}) cannot be reached: {type(reason).__name__}; "
                "start it, or correct LLM_URL"
            ) from None
        if problem is not None:
            raise problem
        self._plain = True  # once more without what this server does not know
        async with self._post(body) as answer:
            yield answer

    async def _problem(self, answer: aiohttp.ClientResponse, body: Mapping[str, Any]) -> Exception | None:
        """What a refusal means; None where leaving the extra fields out may help."""
        try:
            said = _said(await answer.json(content_type=None))
        except ValueError:
            said = answer.reason or ""
        if answer.status in (429, 503):
            return EngineBusy(_seconds(answer.headers.get("Retry-After")))
        if answer.status in (401, 403):
            return EngineError("the server at LLM_URL refuses the key: set LLM_API_KEY")
        if answer.status in (400, 413) and any(word in said.lower() for word in ("context", "too long")):
            return PromptTooLong(self.count_body(body), self._context)
        if answer.status in (400, 422):
            if any(name in body for name in _EXTRA):
                return None
            if body.get("logprobs"):
                return _Refused(said)
        return EngineError(f"the server at LLM_URL answers {answer.status}: {said}")

    @staticmethod
    def count_body(body: Mapping[str, Any]) -> int:
        """The guess of `count` for a request that is already written."""
        return sum(5 + _guess(message["content"]) for message in body["messages"])

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None or self._http.closed:
            timeout = aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS
            )
            self._http = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self._http

    def _discover(self) -> None:
        """Take the model's name and window from the server's list, where it answers. Blocking."""
        request = urllib.request.Request(f"{self._url}/models", headers=self._headers)  # noqa: S310  # http(s) by settings
        try:
            with open_url(request, 3) as answer:
                listed = json.loads(answer.read(1 << 20)).get("data") or []
        except (OSError, ValueError, AttributeError):
            log.warning("the server at LLM_URL does not list its models yet; it is asked when needed")
            return
        known = {str(each.get("id")): each for each in listed if isinstance(each, dict)}
        self._model = self._model or next(iter(known), "")
        window = known.get(self._model, {}).get("max_model_len")
        if isinstance(window, int):
            self._context = min(self._context, window)


class _Refused(EngineError):
    """The server does not give log-probabilities."""


async def _events(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of an event stream, until `[DONE]`."""
    held = b""
    async for chunk in answer.content.iter_any():
        *lines, held = (held + chunk).split(b"\n")
        for line in lines:
            field, _, value = line.strip().partition(b":")
            if field != b"data" or not value.strip():
                continue
            if value.strip() == b"[DONE]":
                return
            try:
                event = json.loads(value)
            except ValueError:
                raise EngineError("the server at LLM_URL sends events that are not JSON") from None
            if isinstance(event, dict):
                yield event


def _top(found: Any) -> dict[bytes, float]:
    """The likeliest first tokens and their log-probabilities; empty where there are none."""
    top = {}
    try:
        for entry in found["choices"][0]["logprobs"]["content"][0]["top_logprobs"]:
            raw, logprob = entry.get("bytes"), float(entry["logprob"])
            if math.isfinite(logprob):
                top[bytes(raw) if raw else str(entry["token"]).encode()] = logprob
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        return {}
    return top


def _deltas(event: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The pieces of an answer in an event, each with why the answer ended, if it did."""
    choices = event.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict):
            delta = choice.get("delta")
            content = delta.get("content") if isinstance(delta, dict) else None
            yield _text(content), choice.get("finish_reason")


def _text(content: Any) -> str:
    """The text of a message: a string, or parts of which only those of type text are shown."""
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "".join(str(part.get("text") or "") for part in parts)
    return content if isinstance(content, str) else ""


def _said(found: Any) -> str:
    error = found.get("error", found) if isinstance(found, dict) else found
    return str(error.get("message", error) if isinstance(error, dict) else error)[:300]


def _seconds(header: str | None) -> float:
    try:
        return max(0.0, float(header or 2))
    except ValueError:
        return 2.0


def _guess(text: str) -> int:
    """Tokens of a text, rather too many: one a character beyond ASCII, one for three within it."""
    wide = sum(character > "\x7f" for character in text)
    return wide + math.ceil((len(text) - wide) / 3)
