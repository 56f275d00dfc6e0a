"""Tokens are drawn as transformers' logits processors say, and a seed makes the draw repeatable."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from bot.engine import EngineError, Sampling
from bot.engine.text.sampling import GenerationDefaults, Sampler, read_generation_config, sample

VOCAB_SIZE = 4096
SEEN = [5, 9, 9, 77, 4000]
PLAIN = Sampling(temperature=1.0, top_k=0, top_p=1.0, repetition_penalty=1.0)


def stock_shares(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """What transformers would draw from, [vocabulary]."""
    ids, scores = torch.tensor([SEEN]), logits[None].clone()
    if sampling.repetition_penalty not in (None, 1.0):
        scores = RepetitionPenaltyLogitsProcessor(float(sampling.repetition_penalty or 1))(ids, scores)
    if sampling.logit_bias:
        biases = {(token,): bias for token, bias in sampling.logit_bias}
        scores = SequenceBiasLogitsProcessor(biases)(ids, scores)
    scores = TemperatureLogitsWarper(float(sampling.temperature or 1))(ids, scores)
    if sampling.top_k:
        scores = TopKLogitsWarper(sampling.top_k)(ids, scores)
    if sampling.top_p is not None and sampling.top_p < 1:
        scores = TopPLogitsWarper(sampling.top_p)(ids, scores)
    if sampling.min_p:
        scores = MinPLogitsWarper(sampling.min_p)(ids, scores)
    return torch.as_tensor(scores[0].softmax(0))


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.7, top_k=20, top_p=0.8, repetition_penalty=1.1),
        Sampling(temperature=1.5, top_k=5, top_p=1.0, repetition_penalty=1.0),
        Sampling(temperature=0.9, top_k=0, top_p=0.6, repetition_penalty=1.3),
        Sampling(temperature=2.5, top_k=0, top_p=0.98, repetition_penalty=1.0),
        Sampling(temperature=0.3, top_k=0, top_p=1.0, repetition_penalty=1.0),
        Sampling(temperature=1.0, top_k=40, top_p=0.0, repetition_penalty=1.0),
        Sampling(temperature=1.3, top_k=60, top_p=0.9, repetition_penalty=1.0, min_p=0.2),
        Sampling(temperature=1.0, top_k=0, top_p=1.0, repetition_penalty=1.0, min_p=0.5),
        Sampling(temperature=1.0, top_k=0, top_p=0.7, repetition_penalty=1.0, min_p=0.3),
        Sampling(temperature=1.0, top_k=9, repetition_penalty=1.2, logit_bias=((5, -4.5), (11, 7.0))),
    ],
)
def test_what_is_drawn_is_what_transformers_would_draw_from(sampling: Sampling) -> None:
    torch.manual_seed(3)
    logits = torch.randn(VOCAB_SIZE) * 2
    logits[SEEN] += 6  # so that the penalty matters
    shares = stock_shares(logits, sampling)
    sampler, draws = Sampler(sampling, GenerationDefaults(), SEEN), 3000
    found = Counter(sample(logits[None].numpy().copy(), [sampler])[0] for _ in range(draws))
    assert all(shares[token] > 0 for token in found), "nothing is drawn that transformers forbids"
    for token in shares.topk(10).indices.tolist():
        expected = float(shares[token])
        spread = (expected * (1 - expected) / draws) ** 0.5
        assert found[token] / draws == pytest.approx(expected, abs=5 * spread + 1e-9)


def test_temperature_zero_takes_the_likeliest_after_the_penalty() -> None:
    logits = torch.zeros(VOCAB_SIZE)
    logits[9], logits[10] = 2.0, 1.9
    assert sample(
        logits[None].numpy().copy(), [Sampler(Sampling(temperature=0), GenerationDefaults(), SEEN)]
    ) == [9]
    penalized = Sampling(temperature=0, repetition_penalty=1.2)
    assert sample(logits[None].numpy().copy(), [Sampler(penalized, GenerationDefaults(), SEEN)]) == [10]
    sampler = Sampler(penalized, GenerationDefaults(), [])
    assert sample(logits[None].numpy().copy(), [sampler]) == [9]
    sampler.observe(9)
    assert sample(logits[None].numpy().copy(), [sampler]) == [10]


@pytest.mark.parametrize(("presence", "frequency"), [(1.5, 0.0), (0.0, 0.7), (0.4, -1.1), (-2.0, 2.0)])
def test_presence_and_frequency_are_taken_off_as_openai_says(presence: float, frequency: float) -> None:
    torch.manual_seed(5)
    answer = [5, 9, 9, 77, 9, 4000]
    penalties = Sampling(
        temperature=0, repetition_penalty=1.0, presence_penalty=presence, frequency_penalty=frequency
    )
    sampler = Sampler(penalties, GenerationDefaults(), prompt=[5, 5, 1234])
    for token in answer:
        sampler.observe(token)
    logits = torch.randn(VOCAB_SIZE)
    row = logits.numpy().copy()
    sampler.penalize(row)
    counts = torch.bincount(torch.tensor(answer), minlength=VOCAB_SIZE)
    expected = logits - counts * frequency - (counts > 0) * presence
    assert row == pytest.approx(expected.numpy(), abs=1e-5), "the prompt's own tokens do not count"


def test_a_greedy_answer_repeats_itself_until_a_penalty_forbids_it() -> None:
    logits = torch.zeros(VOCAB_SIZE)
    logits[9], logits[10], logits[11] = 2.0, 1.5, 1.0

    def answer(presence: float = 0.0, frequency: float = 0.0) -> list[int]:
        penalties = Sampling(
            temperature=0, repetition_penalty=1.0, presence_penalty=presence, frequency_penalty=frequency
        )
        sampler = Sampler(penalties, GenerationDefaults(), [])
        tokens = []
        for _ in range(5):
            tokens += sample(logits[None].numpy().copy(), [sampler])
            sampler.observe(tokens[-1])
        return tokens

    assert answer() == [9, 9, 9, 9, 9]
    assert answer(presence=0.7) == [9, 10, 9, 9, 9]
    assert answer(frequency=0.4) == [9, 9, 10, 9, 10]


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_a_bias_forbids_and_forces_whatever_the_temperature(temperature: float) -> None:
    torch.manual_seed(6)
    logits = torch.randn(VOCAB_SIZE)
    best = int(logits.argmax())
    for bias, expected in (((77, 100.0),), {77}), (((best, -100.0), (VOCAB_SIZE + 5, 100.0)), None):
        sampler = Sampler(Sampling(temperature=temperature, logit_bias=bias), GenerationDefaults(), [])
        drawn = {sample(logits[None].numpy().copy(), [sampler])[0] for _ in range(50)}
        assert drawn == expected if expected else best not in drawn


def test_a_seed_draws_the_same_alone_and_among_others() -> None:
    torch.manual_seed(4)
    logits = torch.randn(12, 151936)
    seeded = Sampling(temperature=1.2, top_k=50, seed=11)
    alone = Sampler(seeded, GenerationDefaults(), [])
    first = [sample(row[None].numpy().copy(), [alone])[0] for row in logits]
    others = [
        Sampling(temperature=0),
        Sampling(temperature=0.4, top_k=900, seed=1),
        Sampling(temperature=1.0, top_k=0, top_p=0.5),
    ]
    samplers = [
        Sampler(seeded, GenerationDefaults(), []),
        *(Sampler(each, GenerationDefaults(), []) for each in others),
    ]
    batch = [sample(row.repeat(4, 1).numpy(), samplers) for row in logits]
    assert [tokens[0] for tokens in batch] == first
    assert [tokens[1] for tokens in batch] == logits.argmax(1).tolist()
    assert first != [
        sample(row[None].numpy().copy(), [Sampler(PLAIN, GenerationDefaults(), [])])[0] for row in logits
    ]


def test_the_model_directory_says_the_defaults(tmp_path: Path) -> None:
    assert Sampler(Sampling(), read_generation_config(tmp_path), []).greedy, (
        "transformers is greedy by default"
    )
    said = {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.1}
    (tmp_path / "generation_config.json").write_text(json.dumps(said | {"eos_token_id": [3, 4]}))
    defaults = read_generation_config(tmp_path)
    sampler = Sampler(Sampling(top_k=7), defaults, [])
    assert (sampler.temperature, sampler.top_p, sampler.top_k, sampler.penalty) == (0.7, 0.8, 7, 1.1)
    assert Sampler(Sampling(temperature=0), defaults, []).greedy
    assert defaults.eos_token_ids == {3, 4}
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 3}')
    assert read_generation_config(tmp_path) == GenerationDefaults(eos_token_ids=frozenset({3}))
    (tmp_path / "generation_config.json").write_text("[")
    with pytest.raises(EngineError, match="generation_config"):
        read_generation_config(tmp_path)


@pytest.mark.parametrize(
    "sampling",
    [Sampling(temperature=-1), Sampling(top_p=1.5), Sampling(top_k=-2), Sampling(repetition_penalty=0)],
)
def test_values_without_a_meaning_are_refused(sampling: Sampling) -> None:
    with pytest.raises(EngineError, match="sampling needs"):
        Sampler(sampling, GenerationDefaults(), [])
