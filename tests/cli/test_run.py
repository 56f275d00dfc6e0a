"""`run` starts everything, says so in one line, and stops when it is told."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from bot_command import Process, bot, running

from config.settings import ROOT

SECRET = "这句话不该出现在日志里"


@pytest.mark.model
def test_the_ready_line_tells_where_everything_is(process: Process) -> None:
    assert re.fullmatch(
        r"ready in \d+\.\d s: page and API http://127\.0\.0\.1:\d+/ \| "
        r"Slack sandbox http://127\.0\.0\.1:\d+/ \| model starter",
        process.ready,
    )
    assert get(process.url + "/readyz")["parts"] == {"model": True, "storage": True, "slack": True}
    for address in (process.url, process.sandbox):
        with urllib.request.urlopen(address + "/") as answer:
            assert answer.status == 200
            assert "text/html" in answer.headers["Content-Type"]


@pytest.mark.model
def test_the_api_tells_good_from_bad(process: Process) -> None:
    good = post(process.url, {"text": "#EMOTION#今天的实验终于成功了，太棒了！"})
    assert good["emotion_label"] == "正面"
    bad = post(process.url, {"text": "#EMOTION#快递又丢了，客服还挂我电话"})
    assert bad["emotion_label"] == "负面"


@pytest.mark.model
def test_logs_are_json_with_a_request_id_and_without_what_people_wrote(process: Process) -> None:
    before = len(process.errors)
    found = post(process.url, {"text": SECRET, "mode": "emotion"})
    assert found["emotion_label"]
    lines = [json.loads(line) for line in process.errors[before:]]
    mine = [line for line in lines if line["message"].startswith("POST /api/infer 200")]
    assert mine
    assert re.fullmatch(r"[0-9a-f]{12}", mine[0]["request_id"])
    assert {"time", "level", "logger", "message"} <= set(mine[0])
    assert SECRET not in "".join(process.errors)
    assert SECRET not in "".join(process.output)


@pytest.mark.model
def test_a_taken_port_is_said_in_one_line(process: Process, tmp_path: Path) -> None:
    port = process.url.rpartition(":")[2]
    found = bot(tmp_path, "run", "--port", port)
    assert found.returncode == 2
    assert len(found.stderr.splitlines()) == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in found.stderr
    offered = re.search(r"--port (\d+)$", found.stderr.strip())
    assert offered
    # The next one is the sandbox's of a bot on this port.
    assert int(offered[1]) != int(port) + 1
    for free in (int(offered[1]), int(offered[1]) + 1):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", free))


@pytest.mark.model
def test_a_bot_over_another_server_starts_without_a_model_and_stops_in_time(
    process: Process, tmp_path: Path
) -> None:
    llm = {"LLM_URL": f"{process.url}/v1", "LLM_MODEL": "starter"}
    with running(tmp_path, "--port", "0", **llm) as second:
        assert second.ready.endswith("model starter")
        good = post(second.url, {"text": "#EMOTION#今天的实验终于成功了，太棒了！"})
        assert good["emotion_label"] == "正面"
        assert second.stop(signal.SIGTERM) == 0
    assert "Traceback" not in "".join(second.errors)


@pytest.mark.model
@pytest.mark.parametrize("https", ["HTTPS_PROXY", "https_proxy"])
def test_a_proxy_is_for_other_machines_and_not_for_the_sandbox_or_a_server_here(
    process: Process, tmp_path: Path, https: str
) -> None:
    nobody = "http://127.0.0.1:9"
    llm = {"LLM_URL": f"{process.url}/v1", "LLM_MODEL": "starter"}
    with running(tmp_path, "--port", "0", **llm, **{https: nobody, "HTTP_PROXY": nobody}) as proxied:
        assert "Slack sandbox" in proxied.ready
        assert get(proxied.url + "/readyz")["parts"] == {"model": True, "storage": True, "slack": True}
        assert post(proxied.url, {"text": "#EMOTION#等了三个小时，太气人了"})["emotion_label"] == "负面"


def test_a_missing_model_is_named_with_the_mend(tmp_path: Path) -> None:
    found = bot(tmp_path, "run", "--port", "0", "--model_dir", str(tmp_path / "none"))
    assert found.returncode == 1
    assert found.stderr.strip().splitlines()[-1].startswith(f"bot: {tmp_path / 'none'}")
    assert "fetch" in found.stderr
    assert "Traceback" not in found.stderr


def get(url: str) -> Any:
    """The JSON at an address."""
    with urllib.request.urlopen(url) as answer:
        return json.loads(answer.read())


def post(url: str, body: dict[str, Any]) -> Any:
    """The answer of `/api/infer`."""
    request = urllib.request.Request(f"{url}/api/infer", json.dumps(body).encode())
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def test_starting_imports_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys; from bot.cli.main import main; main(['manifest']); light = 'torch' in sys.modules;"
        "import bot.app.run, handlers.transport.watchdog, bot.engine.local, bot.doctor;"
        "print([name for name in ('transformers', 'sympy', 'playwright') if name in sys.modules], light)"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[] False"


def test_an_emotion_imports_only_what_it_needs(tmp_path: Path) -> None:
    """Neither torch nor what serves Slack, the web and the database: a command is there at once."""
    heavy = ("torch", "transformers", "sqlalchemy", "alembic", "aiohttp", "slack_bolt", "handlers")
    code = (
        "import sys; from bot.cli.main import main;"
        f"found = main(['emotion', 'fine', '--model-dir', {str(tmp_path / 'none')!r}]);"
        f"print(found, [name for name in {heavy} if name in sys.modules], 'numpy' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "1 [] True"


def test_after_a_command_is_imported_garbage_is_collected_and_modules_are_left_alone() -> None:
    code = (
        "import gc; from bot.cli.main import main; before = len(gc.get_objects());"
        "main(['manifest']); print(gc.isenabled(), gc.get_freeze_count() > before)"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "True True"


def test_with_a_model_on_another_server_torch_is_not_loaded() -> None:
    code = (
        "import sys, bot.app.run, handlers.transport.watchdog;"
        "from bot.engine.factory import open_engine; from config.settings import Settings;"
        "open_engine(Settings(llm_url='http://127.0.0.1:1/v1'), None); print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "False"
