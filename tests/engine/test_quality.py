"""int8, int4 and a file's own blocks predict as float32 does: a text read at once, and as it is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from random_model import TEXT, Predictions, predict

from bot.engine.factory import open_decoder
from bot.engine.text.chat_template import ChatTokenizer

SHORT = 200  # tokens that are also read one by one


@pytest.fixture(scope="module")
def ids(hub_dir: Path) -> list[int]:
    """The text's tokens."""
    return ChatTokenizer(hub_dir).encode_text(TEXT.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def exact(model_dir: Path, ids: list[int]) -> Predictions:
    """What the starter predicts in float32."""
    return predict(open_decoder(model_dir, "fp32"), ids)


@pytest.mark.parametrize("rows", [0, 1], ids=["in one pass", "token by token"])
def test_int8_predicts_as_float32(model_dir: Path, ids: list[int], exact: Predictions, rows: int) -> None:
    some = ids[: SHORT if rows else len(ids)]
    expected = Predictions(exact.logprobs[: len(some) - 1], exact.best[: len(some) - 1])
    found = predict(open_decoder(model_dir, "int8"), some, rows)
    assert found.perplexity == pytest.approx(expected.perplexity, rel=0.01)
    assert found.agreement(expected) >= 0.97


@pytest.mark.parametrize("rows", [0, 1], ids=["in one pass", "token by token"])
def test_the_files_own_blocks_predict_as_the_same_numbers_in_float32(
    model_dir: Path, ids: list[int], exact: Predictions, rows: int
) -> None:
    some = ids[: SHORT if rows else len(ids)]
    expected = Predictions(exact.logprobs[: len(some) - 1], exact.best[: len(some) - 1])
    found = predict(open_decoder(model_dir, "gguf"), some, rows)
    assert found.perplexity == pytest.approx(expected.perplexity, rel=0.003)
    assert found.agreement(expected) >= 0.98


def test_int4_of_a_checkpoint_in_floats_keeps_what_the_model_knows(
    float_dir: Path, ids: list[int], exact: Predictions
) -> None:
    """The starter with weights between the steps of its file; what it computes is the same."""
    found = predict(open_decoder(float_dir, "int4"), ids)
    assert found.perplexity < 1.05 * exact.perplexity
    assert found.agreement(exact) >= 0.92


def test_the_text_is_one_that_the_model_understands(ids: list[int], exact: Predictions) -> None:
    assert 400 <= len(ids) <= 600
    assert len(exact.logprobs) == len(ids) - 1
    assert exact.perplexity < 10
    assert exact.agreement(exact) == 1
