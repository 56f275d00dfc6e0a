"""With the kernels the bot prepares weights, starts and answers without torch, in int8 and int4."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE

from config.settings import ROOT

WITHOUT = """
import asyncio, importlib, pkgutil, sys
from pathlib import Path

sys.modules["torch"] = None  # whatever imports it fails
import bot.cli, handlers
for package in (bot.cli, handlers):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
from bot.emotion import EmotionClassifier
from bot.engine import Sampling
from bot.engine.factory import open_engine
from bot.roles import load_roles
from config.settings import Settings

async def main():
    directory, roles = Path(sys.argv[1]), load_roles()
    engine = open_engine(Settings(precision=sys.argv[2]), directory)
    found = await EmotionClassifier(engine, roles, directory).classify("今天的实验终于成功了，太棒了！")
    brief = Sampling(max_tokens=4, seed=1)
    said = [piece async for piece in engine.stream(roles["chat"].prompt("你好"), brief)]
    await engine.close()
    print(found.label, bool("".join(said).strip()))

asyncio.run(main())
"""


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_the_bot_answers_without_torch(model_dir: Path, precision: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(model_dir), precision],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout.split() == ["正面", "True"], done.stderr
