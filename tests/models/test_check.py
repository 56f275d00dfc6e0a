"""A model directory opens, or is refused in one line that names the file and the mend."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import random_model, vocabulary, write_directory, write_offline_package, write_tokenizer

from bot.engine import Engine, EngineError, Message, Prompt
from bot.engine.factory import open_engine
from bot.models import ModelError, check_model, find_checked_model
from config.settings import Settings

PROMPT = Prompt((Message("user", "hello"),))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that is all right, for copies to be damaged."""
    return write_directory(tmp_path_factory.mktemp("whole") / "model")


def _open(directory: Path) -> Engine:
    settings = Settings(model_dir=directory, precision="fp32", context_tokens=256)
    found = find_checked_model(settings)
    assert found == directory
    return open_engine(settings, found)


async def _scores(directory: Path) -> list[float]:
    engine = _open(directory)
    try:
        return await engine.score(PROMPT, ["he", "hello", "x"])
    finally:
        await engine.close()


async def test_the_offline_package_answers_as_its_safetensors_twin_does(tmp_path: Path, whole: Path) -> None:
    package = write_offline_package(tmp_path / "package")
    assert sorted(file.name for file in package.iterdir()) == [
        "config.json",
        "pytorch_model.bin",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert await _scores(package) == pytest.approx(await _scores(whole), abs=1e-4)


async def test_weights_in_several_files_answer_as_those_in_one(tmp_path: Path, whole: Path) -> None:
    sharded = tmp_path / "sharded"
    random_model().save_pretrained(sharded, max_shard_size="100KB")
    write_tokenizer(vocabulary(), sharded)
    assert len(list(sharded.glob("*.safetensors"))) > 1
    assert await _scores(sharded) == pytest.approx(await _scores(whole), abs=1e-4)


@pytest.mark.parametrize("family", ["llama", "qwen3"])
async def test_the_other_families_open_too(tmp_path: Path, family: str) -> None:
    sizes = {"head_dim": 16} if family == "qwen3" else {}
    scores = await _scores(write_directory(tmp_path / family, family, **sizes))
    assert all(score < 0 for score in scores)


class Code:
    """What a hostile file would run when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, ("ran-from-a-model-file",)


class Evaluated:
    """The same with a built-in function."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return eval, ("__import__('os').mkdir('ran-from-a-model-file')",)


def _truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size * 2 // 3)


def _edit(file: Path, **changes: Any) -> None:
    found = json.loads(file.read_text())
    for name, value in changes.items():
        found.pop(name, None)
        if value is not None:
            found[name] = value
    file.write_text(json.dumps(found))


def _replace_weights(directory: Path, save: Callable[[Path], Any]) -> None:
    (directory / "model.safetensors").unlink()
    save(directory / "pytorch_model.bin")


def _without(name: str) -> dict[str, torch.Tensor]:
    weights = dict(random_model().state_dict())
    del weights[name]
    return weights


def _shorten_vocabulary(directory: Path) -> None:
    _edit(directory / "config.json", vocab_size=200)


def _enlarge_tokenizer(directory: Path) -> None:
    file = directory / "tokenizer.json"
    found = json.loads(file.read_text(encoding="utf-8"))
    known = len(found["model"]["vocab"]) + len(found["added_tokens"])
    found["model"]["vocab"] |= {f"more {number}": number for number in range(known, 500)}
    file.write_text(json.dumps(found), encoding="utf-8")


DAMAGES: list[tuple[str, Callable[[Path], Any], str]] = [
    ("truncated weights", lambda d: _truncate(d / "model.safetensors"), "model.safetensors has"),
    ("no header", lambda d: (d / "model.safetensors").write_bytes(b"\xff" * 100), "safetensors is cut short"),
    (
        "damaged header",
        lambda d: (d / "model.safetensors").write_bytes(b"\x02" + b"\0" * 7 + b"[]"),
        "model.safetensors is damaged",
    ),
    ("empty weights", lambda d: (d / "model.safetensors").write_bytes(b""), "safetensors is cut short"),
    ("no weights", lambda d: (d / "model.safetensors").unlink(), "has no weights"),
    ("no tokenizer", lambda d: (d / "tokenizer.json").unlink(), "tokenizer.json is missing"),
    ("truncated tokenizer", lambda d: _truncate(d / "tokenizer.json"), "tokenizer.json is damaged"),
    ("no vocabulary", lambda d: (d / "tokenizer.json").write_text("{}"), "tokenizer.json is damaged"),
    ("larger tokenizer", _enlarge_tokenizer, "tokenizer.json has tokens up to 499, the model only"),
    (
        "damaged settings",
        lambda d: _truncate(d / "tokenizer_config.json"),
        "tokenizer_config.json is damaged",
    ),
    ("no config", lambda d: (d / "config.json").unlink(), "config.json is missing"),
    ("truncated config", lambda d: _truncate(d / "config.json"), "config.json is damaged"),
    ("list for config", lambda d: (d / "config.json").write_text("[]"), "config.json does not hold"),
    ("GPT-2", lambda d: _edit(d / "config.json", model_type="gpt2"), "config.json: model type 'gpt2'"),
    ("no size", lambda d: _edit(d / "config.json", hidden_size=None), "config.json lacks 'hidden_size'"),
    ("odd size", lambda d: _edit(d / "config.json", hidden_size="big"), "config.json is damaged"),
    (
        "quantized",
        lambda d: _edit(d / "config.json", quantization_config={"quant_method": "awq"}),
        "config.json: the weights are already quantized",
    ),
    (
        "another model's config",
        lambda d: _edit(d / "config.json", intermediate_size=256),
        r"mlp.gate_proj.weight has the shape \[128, 64\], config.json asks for \[256, 64\]",
    ),
    (
        "a layer too few",
        lambda d: _edit(d / "config.json", num_hidden_layers=3, layer_types=None),
        "model.safetensors has no tensor model.layers.2.",
    ),
    (
        "code",
        lambda d: _replace_weights(d, lambda file: torch.save({"lm_head.weight": Code()}, file)),
        r"pytorch_model.bin holds code \(posix.mkdir\)",
    ),
    (
        "built-in code",
        lambda d: _replace_weights(d, lambda file: torch.save({"lm_head.weight": Evaluated()}, file)),
        r"pytorch_model.bin holds code \(eval\)",
    ),
    (
        "bare code",
        lambda d: _replace_weights(d, lambda file: file.write_bytes(pickle.dumps(Code()))),
        "pytorch_model.bin is cut short or damaged",
    ),
    (
        "truncated pickle",
        lambda d: _replace_weights(
            d, lambda file: (torch.save(random_model().state_dict(), file), _truncate(file))
        ),
        "pytorch_model.bin is cut short or damaged",
    ),
    (
        "a whole model pickled",
        lambda d: _replace_weights(d, lambda file: torch.save([torch.zeros(1)], file)),
        "pytorch_model.bin does not hold tensors by name",
    ),
    (
        "a tensor too few",
        lambda d: _replace_weights(d, lambda file: torch.save(_without("model.norm.weight"), file)),
        "pytorch_model.bin has no tensor model.norm.weight",
    ),
]


@pytest.mark.parametrize(("damage", "told"), [pytest.param(*case[1:], id=case[0]) for case in DAMAGES])
def test_a_damaged_directory_is_refused_in_one_line(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], Any], told: str
) -> None:
    directory = tmp_path / "model"
    shutil.copytree(whole, directory)
    monkeypatch.chdir(tmp_path)
    damage(directory)
    with pytest.raises((ModelError, EngineError), match=told) as refused:
        open_engine(Settings(), find_checked_model(Settings(model_dir=directory)))
    line = str(refused.value)
    assert "\n" not in line
    assert str(directory) in line
    assert any(mend in line for mend in ("put ", "use "))
    assert not (tmp_path / "ran-from-a-model-file").exists()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda d: (d / "tokenizer.json").unlink(), "tokenizer.json is missing"),
        (lambda d: _truncate(d / "tokenizer.json"), "tokenizer.json is damaged"),
        (lambda d: (d / "tokenizer.json").write_text("{}"), "tokenizer.json has no vocabulary"),
        (_shorten_vocabulary, "tokenizer.json has tokens up to 263, the model only 200"),
    ],
)
def test_a_tokenizer_is_refused_without_loading_anything(
    tmp_path: Path, whole: Path, damage: Callable[[Path], Any], told: str
) -> None:
    directory = Path(shutil.copytree(whole, tmp_path / "model"))
    damage(directory)
    with pytest.raises(ModelError, match=told):
        check_model(directory)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    random_model().save_pretrained(tmp_path / "m", max_shard_size="100KB")
    write_tokenizer(vocabulary(), tmp_path / "m")
    lost = sorted((tmp_path / "m").glob("model-*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(ModelError, match=f"{lost.name} is missing, which model.safetensors.index.json names"):
        check_model(tmp_path / "m")


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere is not a directory: run `python -m bot fetch`"):
        check_model(tmp_path / "nowhere")
