"""What the tests share: the starter model, one engine over it and a browser, opened once a run."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import settings
from patience import PATIENCE
from playwright.async_api import Browser, Error, async_playwright, expect

from bot.app import logs
from bot.engine import Engine
from bot.engine.factory import open_engine
from bot.roles import Role, load_roles
from config.settings import ROOT, Settings

sys.path.insert(0, str(ROOT / "benchmarks"))
from hub_directory import write_hub_tokenizer

CHROMIUM = Path("/usr/bin/chromium")  # where there is none, the one that playwright installs
INSTALLED: dict[str, Any] = {"executable_path": str(CHROMIUM)} if CHROMIUM.exists() else {}

# How long one example or a page's answer takes depends on what else the machine does.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")
expect.set_options(timeout=PATIENCE * 1000)


MARKS = {"model", "browser", "postgres", "emulators", "llama_cpp"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With REQUIRE_ALL=1 a test fails that lacks what one of MARKS says it needs, the model or a browser."""
    report = yield
    needs = MARKS & {mark.name for mark in item.iter_markers()}
    fixtures = getattr(item, "fixturenames", ())
    needs |= {need for name, need in (("model_dir", "model"), ("browser", "browser")) if name in fixtures}
    if os.environ.get("REQUIRE_ALL") == "1" and needs and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which REQUIRE_ALL forbids: needs {', '.join(sorted(needs))}"
    return report


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Logging as it was, whatever the test sets up."""
    root = logging.getLogger()
    handlers, level, hook = list(root.handlers), root.level, sys.excepthook
    yield
    logging.captureWarnings(False)
    root.handlers[:], root.level, sys.excepthook = handlers, level, hook
    logs.request_id.set(None)


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """The starter model, put there by `make test`."""
    directory = ROOT / "models" / "starter"
    if not (directory / "starter.gguf").is_file():
        pytest.skip("no starter model: run `python -m bot fetch starter`")
    return directory


@pytest.fixture(scope="session")
def hub_dir(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the starter's tokenizer as the hub has it, without weights."""
    return write_hub_tokenizer(model_dir, tmp_path_factory.mktemp("tokenizer"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engine(model_dir: Path) -> AsyncIterator[Engine]:
    """The real engine over the starter model."""
    opened = open_engine(Settings(), model_dir)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def roles() -> dict[str, Role]:
    """The roles that ship."""
    return load_roles()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, started once; tests that use it are marked `browser`."""
    async with async_playwright() as playwright:
        try:
            opened = await playwright.chromium.launch(
                args=["--no-sandbox", "--disable-dev-shm-usage"], **INSTALLED
            )
        except Error as problem:
            if "xecutable doesn't exist" not in str(problem):
                raise
            pytest.skip("no Chromium: install it, or run `.venv/bin/playwright install chromium`")
        yield opened
        await opened.close()
