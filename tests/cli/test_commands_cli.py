"""Each command as it is typed: what it prints, and its exit code."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from bot_command import Process, bot, environment
from patience import PATIENCE

from bot.cli.main import main
from bot.cli.options import COMMANDS
from bot.engine.factory import open_local
from bot.roles import load_roles
from config.settings import ROOT


@pytest.mark.model
def test_emotion_classifies_lines_from_standard_input(process: Process, tmp_path: Path) -> None:
    lines = "太棒了，非常满意！\n\n\u200b\n太差了，非常失望！\n"
    found = bot(tmp_path, "emotion", "-", "--json", "--strict", given=lines, LLM_URL=f"{process.url}/v1")
    assert found.returncode == 0, found.stderr
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    assert [row["text"] for row in rows] == lines.splitlines()
    assert [row["label"] for row in rows] == ["正面", None, None, "负面"]
    assert 0.5 <= rows[0]["confidence"] <= 1


@pytest.mark.model
def test_emotion_explains_in_json_with_four_digits(model_dir: Path, tmp_path: Path) -> None:
    text = "今天的实验终于成功了，太棒了！"
    found = bot(tmp_path, "--model-dir", str(model_dir), "emotion", text, "--json", "--explain")
    assert found.returncode == 0, found.stderr
    row = json.loads(found.stdout)
    assert row["evidence"]
    assert not re.search(r"\.\d{5}", found.stdout)


@pytest.mark.model
def test_emotion_copies_a_csv_with_label_and_confidence(model_dir: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    rows = '1,"太棒了，\n非常满意！"\n2,太差了，非常失望！\n3,\n4,\u200b\n'
    source.write_text(f"\ufeffid,text\n{rows}", encoding="utf-8")
    found = bot(
        tmp_path, "--model-dir", str(model_dir), "emotion", "--csv", str(source), "--out", str(target)
    )
    assert found.returncode == 0, found.stderr
    written = list(csv.DictReader(io.StringIO(target.read_text(encoding="utf-8"), newline="")))
    assert [row["id"] for row in written] == ["1", "2", "3", "4"]
    assert [row["label"] for row in written] == ["正面", "负面", "", ""]
    assert written[0]["text"] == "太棒了，\n非常满意！"
    assert re.fullmatch(r"0\.\d{1,4}|1\.0", written[0]["confidence"])
    assert [row["omitted"] for row in written] == ["0", "0", "", ""]


@pytest.mark.model
def test_prepare_keeps_what_every_role_begins_with(model_dir: Path, tmp_path: Path) -> None:
    """The next start need not compute it."""
    directory = tmp_path / "starter"
    directory.mkdir()
    for file in model_dir.iterdir():
        if not file.name.endswith(".prefixes.safetensors"):
            (directory / file.name).symlink_to(file)
    assert main(["prepare", str(directory), "--precision", "int8"]) == 0
    engine = open_local(directory, precision="int8")
    for role in load_roles().values():
        assert engine.prefixes.prefix(engine.prefix(role.prompt("你好"))) is not None


@pytest.mark.model
def test_chat_answers_and_remembers(process: Process, tmp_path: Path) -> None:
    llm = {"LLM_URL": f"{process.url}/v1"}
    found = bot(tmp_path, "chat", "Say only the word hello.", **llm)
    assert found.returncode == 0, found.stderr
    assert "hello" in found.stdout.lower()
    told = "My name is Zoe.\nWhat is my name? Say only the name.\n"
    found = bot(tmp_path, "chat", given=told, **llm)
    assert found.returncode == 0, found.stderr
    assert "Zoe" in found.stdout


def test_manifest_is_json_and_fits_a_link(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["manifest"]) == 0
    shipped = json.loads((ROOT / "config" / "slack" / "manifest.json").read_text(encoding="utf-8"))
    assert json.loads(capsys.readouterr().out) == shipped
    assert main(["manifest", "--url"]) == 0
    address = capsys.readouterr().out.strip()
    head, _, quoted = address.partition("manifest_json=")
    assert head == "https://api.slack.com/apps?new_app=1&"
    assert json.loads(unquote(quoted)) == shipped


def test_feedback_of_nobody_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/cli.sqlite3")
    assert main(["feedback"]) == 0
    assert capsys.readouterr().out == "0 up, 0 down\n"
    assert main(["feedback", "--json"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["emotoin", "x"], "there is no command 'emotoin'; did you mean emotion?"),
        (["qqq"], "there is no command 'qqq'; there are run, fetch"),
        (["emotion"], "one of the arguments TEXT --csv is required"),
        (["emotion", " "], "there is no text to classify"),
        (["emotion", "x", "--role", "chat"], "there is no role 'chat' with labels"),
        (["emotion", "x", "--role", "poet"], "there is no role 'poet' with labels"),
        (["chat", "--role", "emotion"], "there is no role 'emotion' that answers in words"),
        (["emotion", "x", "--out", "y"], "--out goes with --csv"),
        (["emotion", "--csv", "/nowhere/x.csv"], "/nowhere/x.csv cannot be read"),
        (["emotion", "--csv", "x", "--json"], "--csv writes CSV"),
        (["emotion", "--csv", str(ROOT)], "cannot be read: Is a directory"),
        (["emotion", "--csv", __file__, "--out", __file__], "is the file that is read"),
        (["emotion", "caf\udce9 was awful"], "the text is not UTF-8"),  # as Python reads such an argument
        (["chat", "caf\udce9"], "the text is not UTF-8"),
        (["chat", " \n"], "there is nothing to answer"),
        (["--port", "many"], "argument --port: invalid int value: 'many'"),
        (["--port", "99999"], "PORT must be from 0 to 65535"),
        (["--threads", "-1"], "THREADS must be from 0"),
        (["run", "--precision", "int3"], "invalid choice: 'int3'"),
        (["run", "--host", "0.0.0.0"], "API_TOKEN is not set"),
        (["manifest", "--uri"], "unrecognized arguments: --uri"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_2(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("API_TOKEN", "")
    monkeypatch.setenv("DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/cli.sqlite3")
    try:
        code = main(arguments)
    except SystemExit as left:  # argparse leaves by itself
        code = int(left.code or 0)
    found = capsys.readouterr()
    assert code == 2
    assert found.out == ""
    assert len(found.err.splitlines()) == 1
    assert said in found.err


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PORT", "web", "PORT must be a whole number, not 'web'"),
        ("PRECISION", "int3", "PRECISION must be one of auto"),
        ("SLACK_BOT_TOKEN", "xoxp-1", "SLACK_BOT_TOKEN must be a bot token"),
        ("SLACK_BOT_TOKEN", "xoxb-1", "SLACK_APP_TOKEN is missing"),
        ("LLM_URL", "localhost:8080", "LLM_URL must begin with http"),
        ("API_TOKEN", "short", "API_TOKEN must have at least 16 characters"),
        ("THREAD_FOLLOW", "maybe", "THREAD_FOLLOW must be true or false"),
    ],
)
def test_a_wrong_variable_is_named_with_the_mend(
    variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv(variable, value)
    assert main(["manifest"]) == 2
    found = capsys.readouterr()
    assert found.err.startswith(f"bot: {said}")
    assert len(found.err.splitlines()) == 1


@pytest.mark.parametrize("command", sorted({*COMMANDS} - {"manifest"}))  # which needs none
def test_a_python_without_the_dependencies_says_what_to_run(command: str, tmp_path: Path) -> None:
    given = {"emotion": ["好"], "backup": [str(tmp_path / "b")], "calibrate": ["rows.csv"]}.get(command, [])
    found = subprocess.run(
        [sys.executable, "-ES", "-m", "bot", command, *given],  # -S: without site-packages
        cwd=ROOT,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    assert found.returncode == 1
    assert re.fullmatch(r"bot: \w+ is not installed: run `make setup`\n", found.stderr)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for command in ("run", "fetch", "prepare", "emotion", "chat", "manifest", "doctor", "bench", "feedback"):
        assert f"\n    {command} " in shown
