"""One running bot over the real model, which the other commands may ask through LLM_URL."""

from __future__ import annotations

import logging
import sys
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
def as_before() -> Iterator[None]:
    """`main` sets logging up for its own process; here it must not stay."""
    root = logging.getLogger()
    handlers, level, hook = list(root.handlers), root.level, sys.excepthook
    yield
    logging.captureWarnings(False)
    root.handlers[:], root.level, sys.excepthook = handlers, level, hook
