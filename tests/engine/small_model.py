"""What the engine's tests share: a small random model, and a hold on the passes through it."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from patience import PATIENCE, wait_until

from bot.engine import Message, Prompt, Sampling
from bot.engine.config.arrays import Floats
from bot.engine.local import LocalEngine
from bot.engine.model.decoder import Chunk
from bot.engine.scheduling.requests import Request

GREEDY = Sampling(temperature=0, repetition_penalty=1.0, max_tokens=12)
LEAD = (Message("system", "你是助手。"), Message("user", "你好"), Message("assistant", "您好！"))


def write_small_model(directory: Path, tokenizer: Path) -> Path:
    """A Qwen2 model with two layers and random weights, always the same, in a directory of its own."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(7)
    config = Qwen2Config(
        vocab_size=151936,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        initializer_range=0.3,  # enough that texts make a difference
    )
    Qwen2ForCausalLM(config).save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(tokenizer / name, directory / name)
    return directory


def ask(text: str, session: str | None = None, lead: Sequence[Message] = LEAD) -> Prompt:
    """A question in a role whose prefix is `lead`."""
    return Prompt((*lead, Message("user", text)), shared=len(lead), session=session)


async def write(engine: Any, prompt: Prompt, sampling: Sampling = GREEDY) -> str:
    """The whole answer."""
    return "".join([piece async for piece in engine.stream(prompt, sampling)])


Passes = list[list[int]]


def watch(engine: LocalEngine, before: Callable[[Sequence[Chunk]], None] | None = None) -> Passes:
    """A list that grows by each pass's chunk lengths; `before` may raise to make a pass fail."""
    passes: Passes = []
    forward = engine.decoder.forward

    def watched(chunks: Sequence[Chunk], *arguments: Any, **options: Any) -> Floats:
        passes.append([len(chunk.tokens) for chunk in chunks])
        if before is not None:
            before(chunks)
        return forward(chunks, *arguments, **options)

    # The decoder is the seam: what goes through it is looked at, and faults are put in here.
    engine.decoder.forward = watched  # type: ignore[method-assign]  # meant
    return passes


def asked(engine: LocalEngine, count: int) -> threading.Event:
    """Set once the scheduler has taken up `count` more requests."""
    left, event, submit = [count], threading.Event(), engine.scheduler.submit

    def take_up(*requests: Request) -> None:
        submit(*requests)
        left[0] -= len(requests)
        if left[0] <= 0:
            event.set()

    engine.scheduler.submit = take_up  # type: ignore[method-assign]  # to look on, as `watch` does
    return event


class Steps:
    """Passes that wait in front of the model until the test lets them go.

    What a test says of the order of requests is then true on every machine, whatever else it does.
    """

    def __init__(self, engine: LocalEngine) -> None:
        """Holds the passes of `engine` from the next on."""
        self._let_go = 0
        self._places = threading.Semaphore(0)
        self._held = True
        self.passes = watch(engine, self._hold)

    def _hold(self, _: Sequence[Chunk]) -> None:
        if self._held:
            assert self._places.acquire(timeout=PATIENCE)

    async def until(self, happened: Callable[[], Any]) -> int:
        """Let one pass go after the other until `happened`; returns how many went."""
        before = self._let_go
        while True:
            await wait_until(lambda: len(self.passes) > self._let_go or happened())
            await asyncio.sleep(0.02)  # all that waits for what the last pass brought has it now
            if happened():
                return self._let_go - before
            self._let_go += 1
            self._places.release()

    def free(self) -> None:
        """Hold none any more."""
        self._held = False
        self._places.release()


@contextmanager
def steps(engine: LocalEngine) -> Iterator[Steps]:
    """The passes of an engine, held; free at the end, so that it can be closed."""
    held = Steps(engine)
    try:
        yield held
    finally:
        held.free()
