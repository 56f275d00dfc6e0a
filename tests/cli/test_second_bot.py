"""A second bot on the same SQLite file is refused; everything else that reads the file goes on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from bot_command import Process, bot, running


@pytest.mark.model
def test_a_second_bot_on_one_sqlite_file_is_refused_in_one_sentence(process: Process, tmp_path: Path) -> None:
    llm = {"LLM_URL": f"{process.url}/v1"}
    with running(tmp_path, "--port", "0", **llm) as first:
        second = bot(tmp_path, "run", "--port", "0", **llm)
        assert second.returncode == 1
        assert second.stdout == ""
        (said,) = second.stderr.splitlines()
        assert "another bot is running on" in said
        assert "cli.sqlite3" in said
        assert "postgresql+asyncpg://" in said
        for command in (["backup", str(tmp_path / "copy.sqlite3")], ["feedback"], ["chat"]):
            assert bot(tmp_path, *command, given="\n", **llm).returncode == 0, command
        assert "✓ database" in bot(tmp_path, "doctor", **llm).stdout
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        with running(elsewhere, "--port", "0", **llm):
            first.stop(signal.SIGKILL)
        with running(tmp_path, "--port", "0", **llm) as next_one:  # what a dead bot held is free
            assert next_one.stop() == 0
