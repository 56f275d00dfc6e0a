"""What the tests share: the starter model and one engine over it, opened once a run."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import settings

from bot.engine import Engine
from bot.engine.opening import open_engine
from bot.roles import Role, load_roles
from config.settings import ROOT, Settings

# How long one example takes depends on what else the machine does.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With REQUIRE_ALL=1 a test that lacks the model, the browser or the database fails."""
    report = yield
    needs = {"model", "browser", "postgres"} & {mark.name for mark in item.iter_markers()}
    if "model_dir" in getattr(item, "fixturenames", ()):
        needs.add("model")
    if os.environ.get("REQUIRE_ALL") == "1" and needs and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which REQUIRE_ALL forbids: needs {', '.join(sorted(needs))}"
    return report


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """The starter model, put there by `make test`."""
    directory = ROOT / "models" / "starter"
    if not (directory / "model.safetensors").is_file():
        pytest.skip("no starter model: run `python -m bot fetch starter`")
    return directory


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engine(model_dir: Path) -> AsyncIterator[Engine]:
    """The real engine over the starter model."""
    opened = open_engine(model_dir, Settings())
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def roles() -> dict[str, Role]:
    """The roles that ship."""
    return load_roles()
