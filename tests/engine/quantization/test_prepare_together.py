"""Of two who prepare one directory at once, the second waits and finds what the first has written."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE
from random_model import random_model

from bot.engine.quantization.prepare import prepare
from bot.engine.weights.prepared import open_prepared

ROOT = Path(__file__).parents[3]
# Says when it asks and how many parts it wrote. With `pause` it stops in the middle until it is told on.
PREPARE = """
import sys
from pathlib import Path
from bot.engine.quantization.prepare import prepare

written = 0

def show(done, total):
    global written
    written += 1
    if sys.argv[2] == "pause" and done == total // 2:
        print("half", flush=True)
        sys.stdin.readline()

print("asks", flush=True)
prepare(Path(sys.argv[1]), "int8", show)
print(f"wrote {written}", flush=True)
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A small random model."""
    random_model("qwen2").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def preparing(directory: Path, how: str) -> subprocess.Popen[str]:
    """Another process that prepares it."""
    return subprocess.Popen(
        [sys.executable, "-c", PREPARE, str(directory), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )


def line(process: subprocess.Popen[str]) -> str:
    """What it says next."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_second_waits_and_finds_the_weights_of_the_first(directory: Path) -> None:
    with preparing(directory, "pause") as first:
        assert [line(first), line(first)] == ["asks", "half"]
        with preparing(directory, "through") as second:
            try:
                assert line(second) == "asks"
                with pytest.raises(subprocess.TimeoutExpired):
                    second.wait(2)
                first.communicate("go on\n", timeout=PATIENCE)
                assert first.returncode == 0
                assert line(second) == "wrote 0"
            finally:
                first.kill()  # else the second waits for ever, and the test with it
    assert second.returncode == 0
    assert open_prepared(directory, "int8") is not None
    assert not [*directory.glob(".prepared-*")]


def test_it_does_not_wait_for_one_that_was_killed(directory: Path) -> None:
    with preparing(directory, "pause") as first:
        assert [line(first), line(first)] == ["asks", "half"]
        first.kill()
    with preparing(directory, "through") as second:
        assert line(second) == "asks"
        assert int(line(second).removeprefix("wrote ")) > 0
    assert second.returncode == 0


def test_where_there_are_no_locks_one_can_prepare_all_the_same(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    prepare(directory, "int8")
    assert open_prepared(directory, "int8") is not None
