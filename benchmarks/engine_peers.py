"""The contenders, each behind the same few methods: this engine, transformers, llama.cpp, CTranslate2."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from engine_multiply import multiply_adds

from bot.cli import bench
from bot.engine import Message
from bot.engine.factory import open_local
from bot.engine.text.chat_template import ChatTokenizer
from bot.roles import Role


class Peer(Protocol):
    """One engine with one set of weights."""

    name: str

    def prefill(self, ids: Sequence[int]) -> float:
        """Seconds until the first token after a prompt that nothing is known of."""
        ...

    def decode(self, ids: Sequence[int], length: int) -> float:
        """Tokens a second of one greedy answer, after its first token."""
        ...


class Ours:
    """This engine, in one precision."""

    def __init__(self, directory: Path, precision: str, role: Role) -> None:
        self.name = f"this engine, {precision}"
        self.engine = open_local(directory, precision=precision)
        self.emotion = bench.Emotion(self.engine, role)
        self._loop = asyncio.new_event_loop()

    def prefill(self, ids: Sequence[int]) -> float:
        return bench.generate_tokens(self.engine, [ids], 1)[0].times[0]

    def decode(self, ids: Sequence[int], length: int) -> float:
        return bench.generate_tokens(self.engine, [ids], length)[0].pace

    def share_of_bandwidth(self, ids: Sequence[int], length: int) -> float:
        """Of what this process reads from memory right after it, what decoding reads of weights."""
        read = self.decode(ids, length) * bench.weight_bytes(self.engine) / bench.GIGABYTE
        return read / bench.read_bandwidth(self.engine.decoder.threads)

    def share_of_multiply_adds(self, ids: Sequence[int]) -> float | None:
        """Of what the instruction set allows right after it, what prefill has; None in plain C."""
        config = self.engine.decoder.config
        seconds = self.prefill(ids)
        allowed = multiply_adds(self.engine.decoder.threads)
        return allowed and len(ids) * config.num_layers * config.layer_parameters / seconds / allowed

    def decode_four(self, prompts: Sequence[Sequence[int]], length: int) -> float:
        """Tokens a second of four answers together."""
        return bench.together(bench.generate_tokens(self.engine, prompts, length))

    def turns(self) -> list[float]:
        """Seconds to the first token of eight turns."""
        return bench.conversation(self.engine, 8)

    def texts(self, count: int, together: bool) -> float:
        """Emotions a second, one after the other or asked at once."""
        texts = self.emotion.texts(count)

        async def one_by_one() -> float:
            return sum([await self.emotion.one(text) for text in texts])

        work = self.emotion.many(texts) if together else one_by_one()
        return count / self._loop.run_until_complete(work)


class Stock:
    """transformers' own generate, in one type of weights."""

    def __init__(self, directory: Path, dtype: str) -> None:
        """`dtype`: such as `float32`."""
        from transformers import AutoModelForCausalLM

        self.name = f"transformers, {dtype}"
        self._model: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=getattr(torch, dtype)).eval()
        self._tokenizer = ChatTokenizer(directory)

    def generate(self, ids: Sequence[int], length: int, stop: bool = False) -> float:
        """Seconds for a greedy answer of `length` tokens, shorter only where `stop` lets it end."""
        tokens = torch.tensor([list(ids)])
        shortest = {} if stop else {"min_new_tokens": length}
        start = time.perf_counter()
        with torch.inference_mode():
            self._model.generate(
                tokens,
                attention_mask=torch.ones_like(tokens),
                max_new_tokens=length,
                do_sample=False,
                repetition_penalty=1.0,
                **shortest,
            )
        return time.perf_counter() - start

    def prefill(self, ids: Sequence[int]) -> float:
        return self.generate(ids, 1)

    def decode(self, ids: Sequence[int], length: int) -> float:
        whole, first = self.generate(ids, length), self.generate(ids, 1)
        return (length - 1) / (whole - first)

    def emotion(self, role: Role, text: str) -> float:
        """Seconds for a label the stock way: the mission's prompt without examples, four tokens at most."""
        messages = (Message("system", role.system), Message("user", text))
        prompt = role.prompt(text).__class__(messages)
        return self.generate(self._tokenizer.encode(prompt), 4, stop=True)


class Llama:
    """llama.cpp through llama-cpp-python, on as many threads as the others."""

    def __init__(self, file: Path, kind: str) -> None:
        import llama_cpp

        threads = torch.get_num_threads()
        self.name = f"llama.cpp, {kind}"
        self._model = llama_cpp.Llama(
            str(file), n_ctx=1024, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False
        )

    def prefill(self, ids: Sequence[int]) -> float:
        self._model.reset()
        start = time.perf_counter()
        self._model.eval(list(ids))
        self._best()
        return time.perf_counter() - start

    def decode(self, ids: Sequence[int], length: int) -> float:
        self.prefill(ids)
        token, start = self._best(), time.perf_counter()
        for _ in range(length - 1):
            self._model.eval([token])
            token = self._best()
        return (length - 1) / (time.perf_counter() - start)

    def _best(self) -> int:
        import numpy as np

        logits = self._model._ctx.get_logits()  # of the last token; eval keeps no other
        return int(np.ctypeslib.as_array(logits, shape=(self._model.n_vocab(),)).argmax())


class CTranslate:
    """CTranslate2, in the weights that its own converter made."""

    def __init__(self, folder: Path, kind: str) -> None:
        import ctranslate2

        threads = torch.get_num_threads()
        self.name = f"CTranslate2, {kind}"
        self._model = ctranslate2.Generator(str(folder), compute_type=kind, intra_threads=threads)
        self._vocabulary = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))

    def prefill(self, ids: Sequence[int]) -> float:
        return self._generate(ids, 1)

    def decode(self, ids: Sequence[int], length: int) -> float:
        whole, first = self._generate(ids, length), self._generate(ids, 1)
        return (length - 1) / (whole - first)

    def _generate(self, ids: Sequence[int], length: int) -> float:
        tokens = [self._vocabulary[number] for number in ids]
        start = time.perf_counter()
        self._model.generate_batch(
            [tokens], max_length=length, min_length=length, sampling_topk=1, include_prompt_in_result=False
        )
        return time.perf_counter() - start
