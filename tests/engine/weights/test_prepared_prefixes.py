"""What roles begin with is kept beside the prepared weights: the same to the last bit, or not used."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_model import ask, watch, write

from bot.engine import Message
from bot.engine.factory import is_outdated, open_local, prepare_prefixes
from bot.engine.kernels import bindings
from bot.engine.local import LocalEngine
from bot.engine.quantization.prepare import prepare
from bot.engine.weights import prepared_prefixes
from bot.engine.weights.prepared import prepared_file
from bot.engine.weights.prepared_prefixes import prefixes_file

PRECISIONS = ("int8", "int4")
LABELS = ["好", "很坏", "neutral"]
# Longer than a pass, shorter than one, and one of another role that the tests do not ask.
LEADS = (
    (Message("system", "你要判断语气。" * 60),),
    (Message("system", "Answer."), Message("user", "你好"), Message("assistant", "您好！")),
    (Message("system", "Nobody asks this."),),
)


@pytest.fixture
def directory(small_dir: Path, tmp_path: Path) -> Path:
    """The small model's directory for one test, with prepared weights in int8."""
    copy = Path(shutil.copytree(small_dir, tmp_path / "model"))
    prepare(copy, "int8")
    return copy


def prompts() -> list[Any]:
    """A question in each role."""
    return [ask("今天天气不错", lead=lead) for lead in LEADS]


async def answers(directory: Path, precision: str = "int8") -> tuple[list[Any], list[Any], int]:
    """Scores and an answer, the prefixes' states, and how many tokens were computed for them."""
    engine = open_local(directory, precision=precision)
    passes = watch(engine)
    asked = prompts()
    found: list[Any] = [await engine.score(asked[0], LABELS, exact=False), await write(engine, asked[1])]
    states = [_states(engine, engine.prefix(prompt)) for prompt in asked[:2]]
    await engine.close()
    return found, states, sum(map(sum, passes))


def _states(engine: LocalEngine, tokens: list[int]) -> bytes:
    cache = engine.prefixes.prefix(tokens)
    assert cache is not None
    assert cache.tokens[: len(tokens)] == tokens
    return cache.gather().tobytes()


def prefix_tokens(directory: Path) -> int:
    """How many tokens the two prefixes have that `answers` asks."""
    engine = open_local(directory, precision="int8")
    return sum(len(engine.prefix(prompt)) for prompt in prompts()[:2])


@pytest.mark.parametrize("precision", PRECISIONS)
async def test_kept_prefixes_are_not_computed_and_change_no_bit(directory: Path, precision: str) -> None:
    prepare(directory, precision)
    computed = await answers(directory, precision)
    prepare_prefixes(directory, prompts(), precision)
    kept = await answers(directory, precision)
    assert kept[:2] == computed[:2]
    assert computed[2] - kept[2] == prefix_tokens(directory) > 128


def cut(file: Path) -> None:
    """Leave the last byte out."""
    file.write_bytes(file.read_bytes()[:-1])


def flip(file: Path) -> None:
    """Change a bit of each tensor: the sign of a number in the middle of every kilobyte."""
    content = bytearray(file.read_bytes())
    for at in range((1 << 18) + 515, len(content), 1024):  # behind the header
        content[at] ^= 0x80
    file.write_bytes(content)


def reshape(file: Path) -> None:
    """Exchange layers and heads in the header, which changes no size."""
    content = file.read_bytes()
    assert b'"shape": [2, 4, ' in content
    file.write_bytes(content.replace(b'"shape": [2, 4, ', b'"shape": [4, 2, '))


def rewrite_metadata(file: Path) -> None:
    """Metadata that is no object."""
    content = file.read_bytes()
    start = content.index(b'{"version"')
    end = content.index(b"}", start) + 1
    file.write_bytes(content[:start] + b"7".ljust(end - start) + content[end:])


@pytest.mark.parametrize("damage", [cut, flip, reshape, rewrite_metadata, Path.unlink])
async def test_damaged_prefixes_are_computed_again(directory: Path, damage: Callable[[Path], None]) -> None:
    computed = await answers(directory)
    prepare_prefixes(directory, prompts(), "int8")
    damage(prefixes_file(directory, "int8"))
    assert await answers(directory) == computed


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        pytest.param(prepared_prefixes, "VERSION", "0", id="of an older version"),
        pytest.param(bindings, "made_of", lambda: "0" * 32, id="by other kernels"),
        pytest.param(bindings, "made_by", lambda: "another", id="by kernels of another compiler"),
        pytest.param(np, "sin", np.zeros_like, id="with other sines of numpy's"),
    ],
)
async def test_prefixes_that_were_made_otherwise_are_not_used(
    directory: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, value: Any
) -> None:
    computed = await answers(directory)
    with monkeypatch.context() as patch:
        patch.setattr(module, name, value)
        prepare_prefixes(directory, prompts(), "int8")
        assert prefixes_file(directory, "int8").is_file()
        assert not is_outdated(directory, "int8")
    assert is_outdated(directory, "int8")
    assert await answers(directory) == computed
    prepare_prefixes(directory, prompts(), "int8")
    assert not is_outdated(directory, "int8")
    assert (await answers(directory))[2] == computed[2] - prefix_tokens(directory)


async def test_prefixes_of_another_instruction_set_or_of_other_weights_are_not_used(directory: Path) -> None:
    computed = await answers(directory)
    prepare_prefixes(directory, prompts(), "int8", kernels="plain")
    made_plain = prefixes_file(directory, "int8").read_bytes()
    engine = open_local(directory, precision="int8")
    if engine.decoder.arithmetic["kernels"] != "plain":  # type: ignore[attr-defined]  # the kernels' own
        assert await answers(directory) == computed
    prepare(directory, "int4")
    prefixes_file(directory, "int4").write_bytes(made_plain)
    before = await answers(directory, "int4")
    prefixes_file(directory, "int4").unlink()
    assert await answers(directory, "int4") == before
    prepared_file(directory, "int8").unlink()
    assert (await answers(directory))[2] == computed[2], "without prepared weights there are no prefixes"


async def test_changed_instructions_are_computed_and_what_is_dropped_is_not_read_again(
    directory: Path,
) -> None:
    prepare_prefixes(directory, prompts(), "int8")
    engine = open_local(directory, precision="int8")
    kept, other = engine.prefix(prompts()[0]), engine.prefix(ask("a", lead=(Message("system", "Changed."),)))
    assert engine.prefixes.prefix(other) is None
    assert engine.prefixes.prefix(kept) is not None
    engine.prefixes.clear()  # as after numbers that are not finite
    assert engine.prefixes.prefix(kept) is None
    await engine.close()


def test_prefixes_that_are_there_are_left_alone_and_new_instructions_replace_them(directory: Path) -> None:
    file = prefixes_file(directory, "int8")
    prepare_prefixes(directory, prompts(), "int8")
    written = file.stat().st_mtime_ns
    prepare_prefixes(directory, prompts()[1:], "int8")
    assert file.stat().st_mtime_ns == written
    size = file.stat().st_size
    prepare_prefixes(directory, [prompts()[1], ask("a", lead=(Message("system", "Changed."),))], "int8")
    assert file.stat().st_mtime_ns != written
    assert file.stat().st_size < size, "those of earlier instructions are gone"


def test_only_what_was_prepared_once_is_outdated(directory: Path) -> None:
    """`make setup` makes that anew after an update, and no other precision."""
    assert is_outdated(directory, "int8"), "there are weights and no prefixes"
    assert not is_outdated(directory, "int4")
    assert not is_outdated(directory, "fp32")
    prepare_prefixes(directory, prompts(), "int8")
    assert not is_outdated(directory, "int8")
    file = prepared_file(directory, "int8")
    file.write_bytes(file.read_bytes().replace(b'"version": "', b'"version": "0', 1)[: file.stat().st_size])
    assert is_outdated(directory, "int8"), "weights of another version"


def test_where_they_cannot_be_kept_nothing_fails(directory: Path) -> None:
    file = prefixes_file(directory, "int8")
    file.mkdir()  # in its way, also for root
    prepare_prefixes(directory, prompts(), "int8")
    assert file.is_dir()
    prepare_prefixes(directory, prompts(), "fp32")
    assert not prefixes_file(directory, "fp32").exists()
    assert not list(directory.glob(".prepared-*"))
