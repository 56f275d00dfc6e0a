"""The real program in a process of its own, as a person would start it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from patience import PATIENCE

from config.settings import ROOT

# Whatever the developer's .env says, a test connects to no workspace and writes to no real database.
QUIET = {"SLACK_BOT_TOKEN": "", "SLACK_APP_TOKEN": "", "API_TOKEN": "", "LLM_URL": "", "HOST": "127.0.0.1"}


@dataclass
class Process:
    """One running bot: where its page is, where its sandbox is, and all it has printed."""

    child: subprocess.Popen[str]
    output: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    url: str = ""
    sandbox: str = ""
    ready: str = ""

    def stop(self, number: int = signal.SIGTERM, seconds: float = 20) -> int:
        """Its exit code after a signal."""
        self.child.send_signal(number)
        return self.child.wait(seconds)


def environment(directory: Path, **more: str) -> dict[str, str]:
    """What a bot in a test is started with."""
    database = f"sqlite+aiosqlite:///{directory}/cli.sqlite3"
    return {**os.environ, **QUIET, "DATABASE_URL": database, "PYTHONIOENCODING": "utf-8", **more}


def bot(directory: Path, *arguments: str, given: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with `given` on standard input."""
    return subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        cwd=ROOT,
        env=environment(directory, **more),
        input=given,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )


@contextmanager
def running(directory: Path, *arguments: str, **more: str) -> Iterator[Process]:
    """A bot that runs until the block ends. Fails with what it printed when it does not become ready."""
    child = subprocess.Popen(
        [sys.executable, "-m", "bot", *arguments],
        cwd=ROOT,
        env=environment(directory, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    process = Process(child)
    for stream, lines in ((child.stdout, process.output), (child.stderr, process.errors)):
        assert stream is not None
        threading.Thread(target=lines.extend, args=(stream,), daemon=True).start()
    try:
        end = time.monotonic() + PATIENCE
        while not (found := [line for line in process.output if line.startswith("ready")]):
            assert child.poll() is None, "".join(process.errors)
            assert time.monotonic() < end, "it did not become ready: " + "".join(process.errors)
            time.sleep(0.05)
        process.ready = found[0].strip()
        addresses = re.findall(r"http://[\w.:]+/", process.ready)
        process.url, process.sandbox = addresses[0].rstrip("/"), addresses[-1].rstrip("/")
        yield process
    finally:
        if child.poll() is None:
            child.kill()
            child.wait(PATIENCE)
