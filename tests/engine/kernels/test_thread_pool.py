"""The kernels' thread pool under thousands of tiny steps, alone and under ThreadSanitizer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from kernels_driver import ROOM

from bot.engine.kernels.build_library import HERE, system_compiler

pytestmark = pytest.mark.emulators


@pytest.fixture(scope="module", params=["fast", "sanitized"])
def stress(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = system_compiler()
    if compiler is None:
        pytest.skip("needs a C compiler with ThreadSanitizer")
    into = tmp_path_factory.mktemp("pool") / "stress"
    flags = ["-O3"] if request.param == "fast" else ["-O1", "-g", "-fsanitize=thread"]
    sources = [ROOM / "thread_pool_stress.c", HERE / "thread_pool.c"]
    subprocess.run(
        [*compiler, "-std=gnu11", *flags, "-pthread", f"-I{HERE}", *sources, "-o", into], check=True
    )
    return into


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_every_piece_of_every_step_runs_once_before_the_step_ends(stress: Path, threads: int) -> None:
    done = subprocess.run([stress, str(threads), "5000"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
