"""What ships for operating the bot fits the bot: the systemd unit, its notifications, the dashboard."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from bot_command import Process, running
from patience import PATIENCE

from bot.app import metrics
from config.settings import ROOT

UNIT = ROOT / "config" / "systemd" / "all-in-one-bot.service"
DASHBOARD = ROOT / "config" / "grafana" / "dashboard.json"


@pytest.mark.model
def test_systemd_is_told_ready_alive_and_stopping(process: Process, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(PATIENCE)
        told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        with running(tmp_path, "--port", "0", LLM_URL=f"{process.url}/v1", **told) as bot:
            heard = {systemd.recv(100) for _ in range(3)}
            assert heard == {b"READY=1", b"WATCHDOG=1"}
            assert bot.stop() == 0
        systemd.setblocking(False)
        while b"STOPPING=1" not in heard:
            heard.add(systemd.recv(100))  # fails when there is nothing more to hear


def test_the_unit_watches_limits_and_locks_the_bot_in() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names keep their case
    unit.read(UNIT, encoding="utf-8")
    service = unit["Service"]
    assert service["ExecStart"].endswith("python -m bot run")
    assert (service["Type"], service["Restart"]) == ("notify", "always")
    assert int(service["WatchdogSec"]) >= 10
    assert int(service["TimeoutStopSec"]) > 15
    assert {"MemoryMax", "MemorySwapMax", "DynamicUser", "ProtectSystem", "SystemCallFilter"} <= set(service)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8").replace("/opt/all-in-one-bot/.venv/bin/python", "/bin/true")
    unit = tmp_path / UNIT.name
    unit.write_text(text, encoding="utf-8")
    found = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert "Unknown" not in found.stderr
    assert "Failed to parse" not in found.stderr


def test_the_dashboard_shows_what_the_bot_counts_and_nothing_else() -> None:
    metrics.watch_reconnects(lambda: 0)
    known = set(re.findall(r"^# TYPE (\S+)", metrics.exposition().decode(), re.MULTILINE))
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    names = {name for text in asked for name in re.findall(r"\b(?:bot|process)_\w+", text)}
    families = {name.removesuffix("_bucket") for name in names}
    assert families <= known
    of_the_bot = {name for name in known if name.startswith("bot_") and not name.endswith("_created")}
    assert of_the_bot - families == {"bot_engine_info"}  # a name, which no panel plots
