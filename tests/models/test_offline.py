"""A running model reaches for no network and writes nothing: no cache, no temporary weight."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import ROOT

SCRIPT = """
import asyncio, socket, sys
from pathlib import Path

def refuse(*_, **__):
    print("NETWORK", file=sys.stderr)
    raise OSError("no network in this test")

socket.getaddrinfo = socket.create_connection = refuse
socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = refuse

from bot.engine import Message, Prompt, Sampling
from bot.engine.factory import open_engine
from bot.models import find_checked_model
from config.settings import Settings

async def main():
    settings = Settings(model_dir=Path(sys.argv[1]))
    engine = open_engine(settings, find_checked_model(settings))
    prompt = Prompt((Message("user", "今天的实验终于成功了，太棒了！这句话的情感是正面还是负面？"),))
    scores = await engine.score(prompt, ["正面", "负面"])
    text = "".join([piece async for piece in engine.stream(prompt, Sampling(max_tokens=8))])
    await engine.close()
    print(len(scores), len(text))

asyncio.run(main())
"""


def _listing(directory: Path) -> dict[str, tuple[int, int]]:
    return {
        str(file): (file.stat().st_size, file.stat().st_mtime_ns)
        for file in directory.rglob("*")
        if file.is_file()
    }


@pytest.mark.model
def test_score_and_stream_need_no_network_and_no_room_on_disk(model_dir: Path, tmp_path: Path) -> None:
    empty = {}
    for name in ("HOME", "TMPDIR", "HF_HOME", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR"):
        (tmp_path / name).mkdir()
        empty[name] = str(tmp_path / name)
    before = _listing(model_dir)
    done = subprocess.run(
        [sys.executable, "-B", "-c", SCRIPT, str(model_dir)],
        cwd=ROOT,
        env={**os.environ, **empty},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "NETWORK" not in done.stderr
    scores, written = done.stdout.split()
    assert scores == "2"
    assert int(written) > 0
    assert sorted(tmp_path.rglob("*")) == sorted(map(Path, empty.values()))
    assert _listing(model_dir) == before
