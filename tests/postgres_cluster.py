"""A PostgreSQL cluster of a test's own, which it may stop and start again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class Cluster:
    """A running server; `url` is a database on it."""

    programs: Path
    directory: Path
    port: int

    @property
    def url(self) -> str:
        """The address of its database for the bot."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/postgres"

    def run(self, program: str, *arguments: str) -> None:
        """Run one of its programs; the server refuses to run as root."""
        command = [str(self.programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(command, cwd=self.directory, check=True, stdout=subprocess.DEVNULL)

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.directory} -F"
        self.run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it; whoever is connected is cut off."""
        self.run("pg_ctl", "-D", "data", "-w", "-m", mode, "stop")


@contextmanager
def started_cluster() -> Iterator[Cluster]:
    """A fresh cluster; the test is skipped where PostgreSQL is not installed."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    found = installed[-1] if installed else shutil.which("initdb")
    if found is None:
        pytest.skip("PostgreSQL's programs (initdb, pg_ctl) are not installed")
    directory = Path(tempfile.mkdtemp(prefix="bot-test-"))  # short: a socket's path has few characters
    if os.geteuid() == 0:
        shutil.chown(directory, "postgres")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    cluster = Cluster(Path(found).parent, directory, port)
    try:
        cluster.run("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        cluster.start()
        yield cluster
    finally:
        if (directory / "data" / "postmaster.pid").exists():
            cluster.stop("immediate")
        shutil.rmtree(directory)
