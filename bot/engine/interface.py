"""What the rest of the bot knows of the engine: a prompt goes in, scores or text come out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Speaker = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    """One turn, as the chat template sees it. `content` is always plain text, never control tokens."""

    speaker: Speaker
    content: str


@dataclass(frozen=True)
class Prompt:
    """What the model reads before it answers.

    shared: how many leading messages are the same in every request of this role (system prompt and
        examples); their keys and values are computed once.
    opening: text with which the assistant's answer has already begun.
    session: the conversation that `Engine.forget` drops what is kept of; None: nobody's own. What is kept
        is found by its tokens, whosever it is.
    """

    messages: tuple[Message, ...]
    shared: int = 0
    opening: str = ""
    session: str | None = None


@dataclass(frozen=True)
class Sampling:
    """How text is drawn from the logits. None takes the model's own `generation_config.json`.

    temperature 0 is greedy, any other draws. `stop` strings end the answer and are not part of it.
    A seed makes an answer repeatable.
    min_p: tokens less likely than this share of the likeliest are not drawn.
    presence_penalty, frequency_penalty: taken off the logit of a token that the answer has already, once
        and for each time. logit_bias: pairs of a token's id and what is added to its logit.
    """

    max_tokens: int = 512
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float = 0.0
    repetition_penalty: float | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None
    stop: tuple[str, ...] = ()


class CutOff(str):
    """The last piece of an answer that a limit of tokens ended; often empty."""

    __slots__ = ()


class AnsweredScores(list[float]):
    """Scores of a label that the model only answered: no log-probabilities, so that no calibration fits."""


class Engine(Protocol):
    """One model. `score` and `stream` are its two methods; the rest is bookkeeping.

    Both raise EngineBusy when the queue is full, PromptTooLong before any computation, and
    EngineError when the computation failed. Closing the generator of `stream`, or cancelling the
    task that awaits either, frees the engine at its next step. Several calls may be awaited at
    once (`asyncio.gather`): they share passes through the model where it can.
    """

    @property
    def name(self) -> str:
        """The model's name, as /v1/models and the Home tab show it."""
        ...

    @property
    def context_tokens(self) -> int:
        """How many tokens prompt and answer may have together."""
        ...

    async def score(self, prompt: Prompt, labels: Sequence[str], *, exact: bool = True) -> list[float]:
        """The log-probability of each label as the whole answer's beginning, in the order given.

        A label of several tokens has the sum of its tokens' log-probabilities. Nothing is generated.
        Another server may tell none for a text: then they are AnsweredScores, or NoLabel is raised where
        its model answers no label.
        exact: False for a caller that only compares the labels of this one call: every score may be off
            by the same constant. Then only the labels' own rows of the LM head are computed, which is much
            faster where each label is one token; a softmax over the scores is the same.
        """
        ...

    def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str]:
        """The answer in pieces of whole characters, until an end-of-turn token or a limit.

        Where a limit ended it, the last piece is a CutOff.
        """
        ...

    def count(self, prompt: Prompt) -> int:
        """How many tokens `prompt` has, with the template's own."""
        ...

    async def forget(self, session: str | None = None) -> None:
        """Drop what only one conversation has kept, or with None all but what roles begin with."""
        ...

    async def close(self) -> None:
        """Stop: requests under way fail with EngineError, memory is given back."""
        ...


# Characters: longer prompts are tokenized in a thread, where they do not block the event loop.
_AT_ONCE = 2000
_EMPTY = Prompt((Message("user", ""),))


def count_text(engine: Engine, text: str) -> int:
    """Tokens of `text` by itself, without those that the chat template puts around it."""
    return max(0, engine.count(Prompt((Message("user", text),))) - engine.count(_EMPTY))


def is_long(prompt: Prompt) -> bool:
    """Whether `prompt` takes so long to tokenize that others would notice."""
    return sum(len(message.content) for message in prompt.messages) + len(prompt.opening) > _AT_ONCE


async def count_prompt(engine: Engine, prompt: Prompt) -> int:
    """`engine.count`, beside the event loop where the prompt is long."""
    return await asyncio.to_thread(engine.count, prompt) if is_long(prompt) else engine.count(prompt)
