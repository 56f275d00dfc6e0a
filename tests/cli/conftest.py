"""One running bot over the real model, which the other commands may ask through LLM_URL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bot_command import Process, running


@pytest.fixture(scope="session")
def process(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """`python -m bot --model_dir DIR --port 0`, ready."""
    directory = tmp_path_factory.mktemp("running")
    with running(directory, "--model_dir", str(model_dir), "--port", "0") as started:
        yield started


@pytest.fixture(autouse=True)
def _own_logging(logging_as_before: None) -> None:
    """`main` sets logging up for its own process; here it must not stay."""
