"""The whole bot as its users have it: a process of its own, asked over HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
GIGABYTE = 1e9


class Bot:
    """`python -m bot run` over a model directory, with the sandbox and an empty database."""

    def __init__(self, directory: Path, precision: str) -> None:
        self.name = f"whole bot, {precision}"
        self._folder = tempfile.TemporaryDirectory()
        port = _free_port()
        self.address = f"http://127.0.0.1:{port}"
        environment = os.environ | {
            "DATABASE_URL": f"sqlite+aiosqlite:///{self._folder.name}/bot.sqlite3",
            "RATE_LIMIT": "0",
            "LOG_LEVEL": "ERROR",
            "SLACK_BOT_TOKEN": "",
            "SLACK_APP_TOKEN": "",
        }
        command = [sys.executable, "-m", "bot", "run", "--model-dir", str(directory)]
        start = time.perf_counter()
        self._process = subprocess.Popen(
            [*command, "--precision", precision, "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.start_seconds = time.perf_counter() - start
        if not line.startswith("ready"):
            raise SystemExit(f"the bot did not start: {line!r}")
        self._number = 0

    def emotion(self) -> float:
        """Seconds for one emotion over HTTP."""
        self._number += 1
        said = ("今天的实验终于成功了，太棒了！", "快递又丢了，客服还挂我电话", "这家店的面不错，就是有点贵")
        return self._ask({"text": f"{said[self._number % 3]} {self._number}", "mode": "emotion"})[0]

    def emotions_while_decoding(self, count: int) -> list[float]:
        """Seconds for each of `count` emotions while four replies are being written all the time."""
        ended = threading.Event()

        def reply(number: int) -> None:
            while not ended.is_set():
                self._ask({"text": f"写一个关于数字{number}的长故事，至少一千字。", "mode": "chat"})

        with ThreadPoolExecutor(4) as pool:
            for number in range(4):
                pool.submit(reply, number)
            time.sleep(1.5)
            found = []
            for _ in range(count):
                found.append(self.emotion())
                time.sleep(0.05)
            ended.set()
        return found

    def emotions_beside_a_neighbour(self, count: int) -> list[float]:
        """Seconds for each of `count` emotions while another process computes all the time, at nice 10."""
        neighbour = subprocess.Popen(["nice", "-n", "10", sys.executable, "-c", "while True: pass"])
        try:
            time.sleep(1)
            return [self.emotion() for _ in range(count)]
        finally:
            neighbour.kill()
            neighbour.wait()

    def chat(self, text: str) -> tuple[float, str]:
        """Seconds for a whole reply, and the reply."""
        seconds, body = self._ask({"text": text, "mode": "chat"})
        return seconds, body["chat_response"]

    @property
    def peak(self) -> float:
        """GB that the process had resident at most."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / GIGABYTE

    def stop(self) -> None:
        """End the process."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)
        self._folder.cleanup()

    def _ask(self, body: dict[str, str]) -> tuple[float, Any]:
        request = urllib.request.Request(
            f"{self.address}/api/infer",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        start = time.perf_counter()
        with urllib.request.urlopen(request, timeout=300) as answer:
            found = json.load(answer)
        return time.perf_counter() - start, found


def emotion_command(directory: Path, precision: str) -> float:
    """Seconds of `python -m bot emotion TEXT`."""
    command = [sys.executable, "-m", "bot", "emotion", "--model-dir", str(directory)]
    return run([*command, "--precision", precision, "今天的实验终于成功了"])[0]


def prepare(directory: Path, precision: str) -> tuple[float, float]:
    """Seconds and peak GB of writing the quantized weights, beside links to the model's own files."""
    with tempfile.TemporaryDirectory(dir=directory.parent) as folder:
        for file in directory.iterdir():
            if not file.name.startswith(("prepared", ".")):
                (Path(folder) / file.name).symlink_to(file.resolve())
        return run([sys.executable, "-m", "bot", "prepare", folder, "--precision", precision])


def run(command: Sequence[str]) -> tuple[float, float]:
    """Seconds and peak GB of a command. Raises SystemExit if it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - start, usage.ru_maxrss * 1024 / GIGABYTE


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
