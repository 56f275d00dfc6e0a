"""Prepared weights are whole or not there, belong to their model, and change nothing but the start."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from random_model import random_model

from bot.engine import EngineError, factory
from bot.engine.factory import open_decoder, open_local
from bot.engine.model.decoder import Chunk, Decoder
from bot.engine.quantization.prepare import LOCK, prepare
from bot.engine.weights.prepared import open_prepared, prepared_file
from config.settings import PRECISIONS

ROOT = Path(__file__).parents[3]
QUANTIZED = ("int8", "int4")
IDS = [(7 * at + 3) % 250 for at in range(40)]
# The norm of the error to that of all logits. Random weights make some seven times of what one projection
# rounds off; test_int8.py and test_quality.py look closer.
CLOSE = {"fp32": 1e-5, "bf16": 0.025, "int8": 0.1, "int4": 0.5}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory as it is fetched; not to be written to."""
    directory = tmp_path_factory.mktemp("original") / "model"
    calm_model().save_pretrained(directory)
    return directory


def calm_model() -> Any:
    """A random model whose attention is not so sharp that rounding makes all the difference."""
    model = random_model("qwen2", vocab_size=320, hidden_size=128)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.q_proj.weight.mul_(0.1)
    return model


@pytest.fixture
def directory(original: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return Path(shutil.copytree(original, tmp_path / "model"))


def logits(decoder: Decoder) -> torch.Tensor:
    """Of some tokens, [tokens, vocabulary]."""
    return torch.from_numpy(decoder.logits(decoder.forward([Chunk(IDS, decoder.new_cache())])))


def files(directory: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of everything in a directory but the empty lock file, which stays."""
    found = {each.name: (each.stat().st_size, each.stat().st_mtime_ns) for each in directory.iterdir()}
    found.pop(LOCK, None)
    return found


@pytest.mark.parametrize("precision", PRECISIONS)
def test_prepared_weights_answer_as_those_made_at_the_start(directory: Path, precision: str) -> None:
    exact = logits(open_decoder(directory, "fp32"))
    made = open_decoder(directory, precision)
    file = prepare(directory, precision)
    assert file == prepared_file(directory, precision)
    assert open_prepared(directory, precision) is not None
    opened = open_decoder(directory, precision)
    assert torch.equal(logits(opened), logits(made))
    assert (logits(opened) - exact).norm() < CLOSE[precision] * exact.norm()


@pytest.mark.parametrize("precision", [each for each in PRECISIONS if each != "int4"])  # see test_int4.py
def test_opening_writes_nothing(
    directory: Path, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = files(directory)
    logits(open_decoder(directory, precision))
    assert files(directory) == before
    prepare(directory, precision)
    after = files(directory)
    assert after.keys() - before.keys() == {prepared_file(directory, precision).name}
    logits(open_decoder(directory, precision))
    assert files(directory) == after
    assert not files(tmp_path / "here")


def test_what_is_prepared_already_is_left_alone(directory: Path) -> None:
    calls: list[tuple[int, int]] = []
    prepare(directory, "int8", lambda done, total: calls.append((done, total)))
    dones, totals = zip(*calls, strict=True)
    assert list(dones) == sorted(dones)
    assert dones[-1] == totals[-1]
    before = files(directory)
    prepare(directory, "int8", lambda *_: pytest.fail("there is nothing to do"))
    assert files(directory) == before


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="only Linux tells what is mapped")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_prepared_weights_are_used_as_they_lie_in_the_file(directory: Path, precision: str) -> None:
    prepare(directory, precision)
    decoder = open_decoder(directory, precision)
    assert prepared_file(directory, precision).name in Path("/proc/self/maps").read_text("utf-8")
    expected = logits(decoder)
    prepared_file(directory, precision).unlink()  # who has mapped it keeps it
    assert torch.equal(logits(decoder), expected)
    del decoder
    assert str(directory) not in Path("/proc/self/maps").read_text("utf-8")


HALF = """
import sys
from pathlib import Path
from bot.engine.quantization.prepare import prepare

def stop(done, total):
    if done == total // 2:
        print("half", flush=True)
        sys.stdin.read()

prepare(Path(sys.argv[1]), sys.argv[2], stop)
"""


@pytest.mark.parametrize("precision", QUANTIZED)
def test_killed_in_the_middle_it_leaves_nothing_that_looks_whole(directory: Path, precision: str) -> None:
    before = files(directory)
    expected = logits(open_decoder(shutil.copytree(directory, directory.with_name("copy")), precision))
    with subprocess.Popen(
        [sys.executable, "-c", HALF, str(directory), precision],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as half:
        assert half.stdout is not None
        assert half.stdout.readline() == b"half\n"
        half.send_signal(signal.SIGKILL)
    assert half.returncode == -signal.SIGKILL
    left = files(directory).keys() - before.keys()
    assert left, "it was at work"
    assert not [*directory.glob("prepared-*")]
    assert open_prepared(directory, precision) is None
    assert torch.equal(logits(open_decoder(directory, precision)), expected)
    repaired(directory, precision, expected)
    assert not left & files(directory).keys(), "the next call removes what was left"


def repaired(directory: Path, precision: str, expected: torch.Tensor) -> None:
    """Prepare once more, and see that it is whole and used."""
    prepare(directory, precision)
    assert open_prepared(directory, precision) is not None
    assert torch.allclose(logits(open_decoder(directory, precision)), expected, atol=1e-4)


def test_an_error_in_the_middle_leaves_nothing_at_all(directory: Path) -> None:
    before = files(directory)
    expected = logits(open_decoder(directory, "int8"))

    def fail(done: int, total: int) -> None:
        if done == total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(directory, "int8", fail)
    assert files(directory) == before
    repaired(directory, "int8", expected)


FULL = """
import resource, sys
from pathlib import Path
from bot.engine import EngineError
from bot.engine.quantization.prepare import prepare

resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
try:
    prepare(Path(sys.argv[1]), "int8")
except EngineError as problem:
    sys.exit(str(problem))
"""


def test_a_full_disk_leaves_nothing_at_all(directory: Path) -> None:
    before = files(directory)
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(directory)], cwd=ROOT, capture_output=True, text=True
    )
    file = prepared_file(directory, "int8")
    assert done.stderr.startswith(f"{file} cannot be written: File too large; see that"), done.stderr
    assert files(directory) == before


def cut(part: float) -> Callable[[Path], None]:
    """Damage: only this part of the file is left."""
    return lambda file: os.truncate(file, int(file.stat().st_size * part))


def lose_a_byte(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def add_a_byte(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")


def spoil_the_header(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[8:40] = b"\xff" * 32
    file.write_bytes(content)


def put_nonsense(file: Path) -> None:
    file.write_bytes(b"not weights at all" * 100)


def change(name: str, value: str) -> Callable[[Path], None]:
    """Damage: what the file says of itself is something else."""

    def damage(file: Path) -> None:
        content = file.read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        assert header["__metadata__"][name] != value
        header["__metadata__"][name] = value
        changed = json.dumps(header).encode().ljust(length)
        assert len(changed) == length
        file.write_bytes(content[:8] + changed + content[8 + length :])

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(cut(0), id="empty"),
        pytest.param(cut(0.3), id="the header alone"),
        pytest.param(cut(0.7), id="cut off"),
        lose_a_byte,
        add_a_byte,
        spoil_the_header,
        put_nonsense,
        pytest.param(change("version", "0"), id="another version"),
        pytest.param(change("precision", "bf16"), id="another precision"),
        pytest.param(change("source", "0" * 64), id="another source"),
    ],
)
def test_a_file_that_is_not_whole_or_not_of_here_is_not_used(
    directory: Path, damage: Callable[[Path], None]
) -> None:
    expected = logits(open_decoder(directory, "int8"))
    file = prepare(directory, "int8")
    damage(file)
    assert open_prepared(directory, "int8") is None
    assert torch.equal(logits(open_decoder(directory, "int8")), expected)
    repaired(directory, "int8", expected)


@pytest.mark.parametrize("precision", QUANTIZED)
def test_weights_prepared_from_others_are_not_used(directory: Path, precision: str) -> None:
    prepare(directory, precision)
    old = logits(open_decoder(directory, precision))
    model = calm_model()
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight.mul_(-1)
    size = (directory / "model.safetensors").stat().st_size
    model.save_pretrained(directory)
    assert (directory / "model.safetensors").stat().st_size == size
    assert open_prepared(directory, precision) is None
    new = logits(open_decoder(directory, precision))
    assert not torch.allclose(new, old, atol=0.1)
    repaired(directory, precision, new)


def test_a_copied_directory_keeps_its_prepared_weights(directory: Path, tmp_path: Path) -> None:
    prepare(directory, "int8")
    copy = Path(shutil.copytree(directory, tmp_path / "copy"))
    assert open_prepared(copy, "int8") is not None


def test_a_directory_that_is_no_model_is_refused_and_left_as_it_was(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    before = files(directory)
    with pytest.raises(EngineError, match="has no weights"):
        prepare(directory, "int8")
    with pytest.raises(EngineError, match="no precision 'int3'"):
        prepare(directory, "int3")
    assert files(directory) == before


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_is_not_waited_for(
    directory: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """The lock file may be there already: it is copied with the directory."""

    def flock(*_: int) -> None:
        raise OSError(code, os.strerror(code))

    (directory / LOCK).touch()
    monkeypatch.setattr("fcntl.flock", flock)
    prepare(directory, "int8")
    assert open_prepared(directory, "int8") is not None


def test_a_damaged_tokenizer_is_told_before_the_weights_are_read(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / "tokenizer.json").write_text("{")
    monkeypatch.setattr(factory, "open_decoder", lambda *_: pytest.fail("the weights were read first"))
    with pytest.raises(EngineError, match="tokenizer"):
        open_local(directory)
