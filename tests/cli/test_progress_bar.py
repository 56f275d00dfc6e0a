"""The progress bar is seen by a person and never runs through what is printed."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from bot_command import environment
from patience import PATIENCE

from config.settings import ROOT

CSV = "text\n太棒了\n太差了\n"


def terminal(directory: Path, *arguments: str, shows_output: bool, **more: str) -> tuple[str, str]:
    """What `emotion` prints on a terminal, and what on a pipe in its place as standard output."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))  # of no width, no bar is seen
    child = subprocess.Popen(
        [sys.executable, "-m", "bot", "emotion", *arguments],
        cwd=ROOT,
        env=environment(directory, **more),
        stdin=subprocess.PIPE,
        stdout=theirs if shows_output else subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    piped, _ = child.communicate(CSV.encode(), timeout=PATIENCE)  # short enough for a terminal's buffer
    seen = b""
    try:
        while more_seen := os.read(ours, 4096):
            seen += more_seen
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert child.returncode == 0, seen.decode()
    return seen.decode(), (piped or b"").decode()


@pytest.mark.model
def test_on_a_terminal_the_csv_has_no_bar_in_it(model_dir: Path, tmp_path: Path) -> None:
    seen, _ = terminal(tmp_path, "--csv", "-", shows_output=True, MODEL_DIR=str(model_dir))
    rows = [line.split(",")[:2] for line in seen.splitlines() if line]
    assert rows == [["text", "label"], ["太棒了", "正面"], ["太差了", "负面"]]


@pytest.mark.model
def test_the_bar_is_shown_where_the_csv_goes_elsewhere(model_dir: Path, tmp_path: Path) -> None:
    seen, piped = terminal(tmp_path, "--csv", "-", shows_output=False, MODEL_DIR=str(model_dir))
    assert "2/2" in seen
    assert len(piped.splitlines()) == 3
