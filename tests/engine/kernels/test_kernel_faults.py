"""Memory that really runs out and threads that are gone cost a pass at most, and no later one.

Each in a process of its own, whose limits and threads are then nobody else's.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE
from random_model import random_model

from config.settings import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs limits of memory and /proc")

OPENED = """
import os, sys
from pathlib import Path
import numpy as np
from bot.engine.factory import open_decoder
from bot.engine.model.decoder import Chunk

decoder = open_decoder(Path(sys.argv[1]), "int8", 3)

def answer(tokens=12):
    return decoder.forward([Chunk([1, 2, 3] * (tokens // 3), decoder.new_cache())])

expected = answer()
"""

OUT_OF_MEMORY = """
import resource

used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000, resource.RLIM_INFINITY))
for _ in range(3):
    try:
        answer(300_000)
    except MemoryError:
        print("refused", np.array_equal(answer(), expected))
"""

NO_THREADS = """
def awake():
    tasks = Path("/proc/self/task").glob("*/stat")
    return sum(") S " not in task.read_text() for task in tasks)

while awake() > 1:  # this thread, and none that holds the pool's lock
    pass
child = os.fork()  # into which no thread but this one comes
if child == 0:
    same = np.array_equal(answer(), expected)
    os._exit(0 if same else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), np.array_equal(answer(), expected))
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    random_model("qwen2", vocab_size=320, hidden_size=128).save_pretrained(tmp_path)
    return tmp_path


def run(script: str, directory: Path) -> str:
    """What it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OPENED + script, str(directory)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_pass_without_memory_is_refused_and_later_ones_are_right(directory: Path) -> None:
    assert run(OUT_OF_MEMORY, directory) == "refused True\n" * 3


def test_passes_are_right_even_when_the_pools_threads_are_gone(directory: Path) -> None:
    assert run(NO_THREADS, directory) == "0 True\n"
