"""Files and pipes as people have them: read whole, or refused with the mend, never judged in part."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from bot_command import Process, environment
from patience import PATIENCE

from bot.cli.model import UsageError
from bot.cli.text_input import read_table
from config.settings import ROOT


def test_a_table_keeps_every_cell_whatever_its_columns_are_called(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(
        '\ufeffnote,text,note,\r\n1,"好，\n很好",2,\r\n\r\n3,"a, ""b"""\r\n4,x,5,,,\r\n'.encode()
    )
    table = read_table(str(file), "text")
    assert table.columns == ["note", "text", "note", ""]
    assert table.rows == [["1", "好，\n很好", "2", ""], ["3", 'a, "b"', "", ""], ["4", "x", "5", ""]]
    assert table.column("text") == ["好，\n很好", 'a, "b"', "x"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has no column `text`; it has: none"),
        (b"id;text\n1;good\n", "has no column `text`; it has: id;text; separate the columns by commas"),
        (b"id\ttext\n1\tgood\n", "separate the columns by commas"),
        (b"text,n,text\na,1,b\n", "has two columns `text`"),
        (b"id,text\n1,fine\n2,it broke, again\n", "line 3 has 3 cells, and the header 2"),
        (b'text\nfine\n"never closed\nbad\n', "is no CSV: unexpected end of data"),
        (b"text\n" + b"x" * 200_000, "line 2 is no CSV"),
        ("text\n很好\n太差了\n".encode("gbk"), "line 2 is not UTF-8: convert it first"),
        ("id,text\n1,naïve\n".encode("latin-1"), "line 2 is not UTF-8"),
        ("text\n好\n".encode("utf-16"), "line 1 is not UTF-8"),
    ],
)
def test_a_table_that_would_be_read_wrongly_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        read_table(str(file), "text")
    assert str(refused.value).startswith(str(file))
    assert said in str(refused.value)


def piped(directory: Path, given: bytes, *arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    """A command with these bytes on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        cwd=ROOT,
        env=environment(directory, **more),
        input=given,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.model
@pytest.mark.parametrize(
    ("given", "arguments", "said"),
    [
        ("text\n很好\n".encode("gbk"), ("emotion", "--csv", "-"), "standard input, line 2 is not UTF-8"),
        ("fine\n很好\n".encode("gbk"), ("emotion", "-"), "line 2 is not UTF-8"),
        ("déjà vu\n".encode("latin-1"), ("chat",), "the message is not UTF-8"),
    ],
)
def test_what_is_piped_in_another_encoding_is_refused_in_one_line(
    process: Process, tmp_path: Path, given: bytes, arguments: tuple[str, ...], said: str
) -> None:
    found = piped(tmp_path, given, *arguments, LLM_URL=f"{process.url}/v1")
    errors = found.stderr.decode().splitlines()
    assert (found.returncode, len(errors)) == (2, 1), errors
    assert said in errors[0]


@pytest.mark.model
def test_a_terminal_that_lacks_a_character_shows_the_rest(process: Process, tmp_path: Path) -> None:
    shown = {"LLM_URL": f"{process.url}/v1", "PYTHONIOENCODING": "gbk"}  # has no emoji
    found = piped(tmp_path, "太棒了\n".encode("gbk"), "emotion", "-", **shown)
    assert found.returncode == 0, found.stderr
    assert found.stdout.decode("gbk").startswith("? 正面")
    assert found.stdout.decode("gbk").endswith("太棒了\n")
