"""A small random model for what needs no real answers, and engines over it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from random_model import off_grid, write_hub_directory
from small_model import write_small_model

from bot.engine.factory import open_local
from bot.engine.local import LocalEngine

Open = Callable[..., LocalEngine]


@pytest.fixture(scope="session")
def small_dir(hub_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model's directory."""
    return write_small_model(tmp_path_factory.mktemp("small") / "small", hub_dir)


@pytest_asyncio.fixture(loop_scope="session")
async def open_small(small_dir: Path) -> AsyncIterator[Open]:
    """Opens float32 engines over the small model, closed at the end of the test."""
    opened: list[LocalEngine] = []

    def start(**options: Any) -> LocalEngine:
        opened.append(open_local(small_dir, precision="fp32", **options))
        return opened[-1]

    yield start
    for engine in opened:
        await engine.close()


@pytest.fixture(scope="session")
def float_dir(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The starter as a checkpoint in float16 whose weights are on no quantized file's steps."""
    return write_hub_directory(model_dir, tmp_path_factory.mktemp("floats"), off_grid)
