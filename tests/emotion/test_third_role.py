"""A third role is one file: the API and the command line serve it with no code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import aiohttp
from patience import PATIENCE

from bot.app.services import Services
from bot.conversation import Conversations
from bot.emotion import EmotionClassifier
from bot.engine import Engine
from bot.roles import load_roles
from bot.storage import Storage
from bot.web.app import build_web, serve
from bot.web.context import Opening
from config.settings import ROOT, Settings

ROLE = """title = "Kind"
system = "Is the message a question or a statement? Answer with one word."
[[examples]]
text = "Where is the station?"
answer = "question"
[[examples]]
text = "The shop is closed today."
answer = "statement"
[[labels]]
name = "question"
emoji = "❓"
[[labels]]
name = "statement"
emoji = "💬"
"""


async def test_the_api_serves_it(tmp_path: Path, engine: Engine, model_dir: Path) -> None:
    (tmp_path / "kind.toml").write_text(ROLE, encoding="utf-8")
    roles = load_roles(tmp_path)
    settings = Settings(port=0, database_url=f"sqlite+aiosqlite:///{tmp_path}/role.sqlite3")
    storage = await Storage.open(settings.database_url)
    opening = Opening(settings, roles=roles)
    opening.services = Services(
        settings, roles, engine, EmotionClassifier(engine, roles, model_dir),
        Conversations(engine, roles, storage, settings), storage,
    )  # fmt: skip
    runner, port = await serve(build_web(opening, lambda: {"model": True}), settings)
    try:
        async with aiohttp.ClientSession() as http:
            body = {"text": "What time does the train leave?", "mode": "kind"}
            address = f"http://127.0.0.1:{port}/api/infer"
            async with http.post(address, json=body) as answer:
                found = await answer.json()
            streamed = {"Accept": "text/event-stream"}
            async with http.post(address, json=body, headers=streamed) as events:
                lines = (await events.text()).splitlines()
        shown = json.loads(next(line for line in lines if line.startswith("data: "))[6:])
        assert answer.status == 200
        assert found["emotion_label"] == "question"
        assert set(found["emotion"]["scores"]) == {"question", "statement"}
        assert shown["line"] == "❓ Kind: question"
    finally:
        await runner.cleanup()
        await storage.close()


def test_the_command_line_serves_it(tmp_path: Path, model_dir: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    for part in ("bot", "config", "handlers"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignored)
    (tmp_path / "config" / "roles" / "kind.toml").write_text(ROLE, encoding="utf-8")

    def emotion(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bot", "emotion", "--role", "kind", *arguments],
            cwd=tmp_path,
            env={**os.environ, "MODEL_DIR": str(model_dir), "LLM_URL": "", "PYTHONPATH": str(tmp_path)},
            input=given,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )

    done = emotion("--json", "-", given="What time does the train leave?\nIs the kettle on the left shelf?\n")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["label"] for line in done.stdout.splitlines()] == ["question", "question"]
    assert emotion("What time does the train leave?").stdout.startswith("❓ Kind: question  ")
