"""The engine's two methods over stock `transformers`: slow, plain, and what the fast one is compared with.

Tests compare the engine with it, and benchmarks time it; the bot itself runs `bot.engine.local`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from bot.engine.errors import EngineError, PromptTooLong
from bot.engine.interface import CutOff, Prompt, Sampling
from bot.engine.text.chat_template import ChatTokenizer
from bot.engine.text.detokenizer import Detokenizer
from bot.engine.text.sampling import read_generation_config


class ReferenceEngine:
    """One model directory in float32 (or another `dtype`), loaded by transformers, on one worker thread."""

    def __init__(
        self, directory: Path, dtype: torch.dtype = torch.float32, context_tokens: int = 4096
    ) -> None:
        from transformers import AutoModelForCausalLM

        self.tokenizer = ChatTokenizer(directory)
        auto: Any = AutoModelForCausalLM  # half typed
        self.model: Any = auto.from_pretrained(
            directory, dtype=dtype, local_files_only=True, weights_only=True
        ).eval()
        self._context = min(context_tokens, int(self.model.config.max_position_embeddings))
        self._name = directory.resolve().name
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="reference-engine")
        self._eos_token_ids = self.tokenizer.eos_token_ids | read_generation_config(directory).eos_token_ids

    @property
    def name(self) -> str:
        return self._name

    @property
    def context_tokens(self) -> int:
        return self._context

    def count(self, prompt: Prompt) -> int:
        return len(self.tokenizer.encode(prompt))

    async def score(self, prompt: Prompt, labels: Sequence[str], *, exact: bool = True) -> list[float]:
        ids = self._fitting(prompt, 0)
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._score, ids, list(labels))

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str]:
        ids = self._fitting(prompt, 1)
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | BaseException | None] = asyncio.Queue()
        cancelled = threading.Event()

        def put(piece: str | BaseException | None) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        self._worker.submit(self._generate, ids, sampling, put, cancelled)
        try:
            while (piece := await pieces.get()) is not None:
                if isinstance(piece, BaseException):
                    raise EngineError(f"generation failed: {piece}") from piece
                yield piece
        finally:
            cancelled.set()

    async def forget(self, session: str | None = None) -> None:
        """Nothing is kept between requests."""

    async def close(self) -> None:
        self._worker.shutdown(wait=False, cancel_futures=True)

    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        """float32 [tokens, vocabulary] of one sequence: what tests compare the fast engine with."""
        with torch.inference_mode():
            return torch.as_tensor(self.model(torch.tensor([list(ids)])).logits[0].float())

    def _fitting(self, prompt: Prompt, room: int) -> list[int]:
        ids = self.tokenizer.encode(prompt)
        if len(ids) + room > self._context:
            raise PromptTooLong(len(ids), self._context - room)
        return ids

    def _score(self, ids: list[int], labels: list[str]) -> list[float]:
        scores = []
        for label in labels:
            tokens = self.tokenizer.encode_text(label)
            logprobs = self.logits(ids + tokens)[len(ids) - 1 : -1].log_softmax(-1)
            scores.append(float(sum(logprobs[at, token] for at, token in enumerate(tokens))))
        return scores

    def _generate(self, ids: list[int], sampling: Sampling, put: Any, cancelled: threading.Event) -> None:
        from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList
        from transformers.generation.streamers import BaseStreamer

        config: Any = GenerationConfig  # half typed
        text = Detokenizer(self.tokenizer, sampling.stop)
        eos_token_ids = self._eos_token_ids

        class Pieces(BaseStreamer):
            prompt_seen = False
            last = -1

            def put(self, value: torch.Tensor) -> None:
                if not self.prompt_seen:
                    self.prompt_seen = True
                    return
                self.last = int(value.reshape(-1)[-1])
                if self.last not in eos_token_ids and (piece := text.push(self.last)):
                    put(piece)

            def end(self) -> None:
                rest = text.flush()
                if self.last not in eos_token_ids and not text.stopped:
                    put(CutOff(rest))
                elif rest:
                    put(rest)

        class Ended(StoppingCriteria):
            def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
                return torch.full((len(input_ids),), cancelled.is_set() or text.stopped)

        settings: dict[str, Any] = {
            "max_new_tokens": sampling.max_tokens,
            "eos_token_id": sorted(eos_token_ids),
        }
        if sampling.temperature is not None:
            settings["do_sample"] = sampling.temperature > 0
        for name in ("temperature", "top_p", "top_k", "repetition_penalty"):
            if getattr(sampling, name) is not None and (name, sampling.temperature) != ("temperature", 0):
                settings[name] = getattr(sampling, name)
        try:
            if sampling.seed is not None:
                torch.manual_seed(sampling.seed)
            with torch.inference_mode():
                tokens = torch.tensor([ids])
                self.model.generate(
                    tokens,
                    attention_mask=torch.ones_like(tokens),
                    generation_config=config(**(self.model.generation_config.to_diff_dict() | settings)),
                    streamer=Pieces(),
                    stopping_criteria=StoppingCriteriaList([Ended()]),
                )
        except Exception as problem:  # whatever failed belongs to this request and is raised in its task
            put(problem)
        put(None)
