"""A config.json that nothing could compute is refused by a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.engine import EngineError
from bot.engine.config.model_config import read_model_config

QWEN2 = {
    "model_type": "qwen2",
    "hidden_size": 112,
    "num_attention_heads": 14,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
    "vocab_size": 320,
}


@pytest.mark.parametrize("shared", [28, 15, 4])
def test_heads_that_cannot_share_keys_evenly_are_refused(tmp_path: Path, shared: int) -> None:
    config = QWEN2 | {"num_key_value_heads": shared}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(EngineError, match=f"14 attention heads cannot share {shared} key-value heads"):
        read_model_config(tmp_path)


@pytest.mark.parametrize(("shared", "found"), [(2, 2), (7, 7), (14, 14), (None, 14)])
def test_heads_may_share_keys_or_have_their_own(tmp_path: Path, shared: int | None, found: int) -> None:
    config = QWEN2 | {"num_key_value_heads": shared}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert read_model_config(tmp_path).num_kv_heads == found
