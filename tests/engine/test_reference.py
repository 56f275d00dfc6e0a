"""The plain engine over stock transformers, which the fast one is measured with."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import torch
from patience import PATIENCE
from small_model import GREEDY, ask, write

from bot.engine import EngineError, PromptTooLong, Sampling
from bot.engine.reference import ReferenceEngine


async def test_it_scores_and_streams_as_transformers_generates(small_dir: Path) -> None:
    engine = ReferenceEngine(small_dir, context_tokens=128)
    prompt = ask("hello")
    ids = torch.tensor([engine.tokenizer.encode(prompt)])
    plain = engine.model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, repetition_penalty=1.0, max_new_tokens=12
    )
    said = engine.tokenizer.decode(plain[0, ids.shape[1] :].tolist())
    assert (await write(engine, prompt)).rstrip("\ufffd") == said.rstrip("\ufffd")
    token = engine.tokenizer.encode_text("正面")
    expected = engine.logits(ids[0].tolist())[-1].log_softmax(0)[token[0]]
    assert await engine.score(prompt, ["正面"]) == pytest.approx([float(expected)], abs=1e-4)
    seeded = Sampling(temperature=1.0, seed=5, max_tokens=8)
    assert await write(engine, prompt, seeded) == await write(engine, prompt, seeded)
    with pytest.raises(PromptTooLong):
        await write(engine, ask("说" * 200), GREEDY)
    await engine.close()


async def test_a_failed_generation_is_an_engine_error_and_a_left_one_ends(small_dir: Path) -> None:
    engine = ReferenceEngine(small_dir)
    with pytest.raises(EngineError, match="generation failed"):
        await write(engine, ask("hello"), Sampling(repetition_penalty=-1.0))
    endless = engine.stream(ask("hello"), Sampling(temperature=0, max_tokens=4000))
    await anext(endless)
    await endless.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert await asyncio.wait_for(engine.score(ask("hello"), ["a"]), PATIENCE)
    await engine.close()
