"""The whole bot over a model: ready, an emotion in the Slack sandbox and over the API, and a short reply.

write MODEL FILE     ask this machine's bot and keep its answers in FILE
compare MODEL FILE   ask again, on another machine: it must answer the same
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bot_command import Process, running  # of tests/cli, which is on the path

PATIENCE = 3600.0  # seconds for an answer: an emulator is slow
SAID = "/emotion 快递又丢了，客服还挂我电话"
ASKED = "The new release made everything faster, I love it!"
QUESTION = "用一个词回答：天空是什么颜色？"
TOKENS = 8
SAME = 0.02  # probabilities: the kernels of two processors add in another order


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON that a GET, or a POST of `body`, answers."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def in_slack(bot: Process) -> str:
    """What `/emotion` answers to one person in the sandbox."""
    command, _, text = SAID.partition(" ")
    ask(
        f"{bot.sandbox}/people/command",
        {"user": "Ada", "channel": "general", "command": command, "text": text},
    )
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        state = ask(f"{bot.sandbox}/people/state?user=Ada")
        everything = [message for channel in state["channels"] for message in channel["messages"]]
        everything += [each["message"] for each in state["ephemerals"]]
        for message in everything:
            if "LLM 情感判断" in message["text"]:
                return str(message["text"]).splitlines()[0]
        time.sleep(1)
    raise AssertionError(f"no emotion in the sandbox: {state}")


def over_the_api(bot: Process) -> Any:
    """The emotion of one text."""
    return ask(f"{bot.url}/api/infer", {"text": ASKED, "mode": "emotion"})["emotion"]


def reply(bot: Process) -> str:
    """The first tokens of an answer, the likeliest at each step."""
    body = {
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": TOKENS,
        "temperature": 0,
    }
    found = ask(f"{bot.url}/v1/chat/completions", body)
    return str(found["choices"][0]["message"]["content"])


def answers(model: str) -> dict[str, Any]:
    """Everything that one bot is asked, told with its seconds, and the stop."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        with running(Path(folder), "run", "--port", "0", "--model-dir", model) as bot:
            print(f"  {bot.ready}", flush=True)
            questions: list[Callable[[Process], Any]] = [in_slack, over_the_api, reply]
            for question in questions:
                start = time.monotonic()
                found[question.__name__] = question(bot)
                seconds = time.monotonic() - start
                print(f"  {question.__name__}, {seconds:.1f} s: {found[question.__name__]}", flush=True)
            assert bot.stop(seconds=600) == 0
        loud = [line for line in bot.errors if '"level": "INFO"' not in line]
        print("".join(f"  log: {line}" for line in loud), end="")
    return found


def differs(here: dict[str, Any], host: dict[str, Any]) -> list[str]:
    """What is not as the host answered."""
    wrong = [f"{name} was {host[name]!r}" for name in ("in_slack", "reply") if here[name] != host[name]]
    ours, theirs = here["over_the_api"]["scores"], host["over_the_api"]["scores"]
    if max(abs(ours[label] - theirs[label]) for label in theirs) > SAME:
        wrong.append(f"over_the_api was {theirs}")
    return wrong


def main() -> int:
    command, model, file = sys.argv[1:4]
    found = answers(model)
    if command == "write":
        Path(file).write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
        return 0
    wrong = differs(found, json.loads(Path(file).read_text(encoding="utf-8")))
    print("\n".join(f"WRONG {each}" for each in wrong) or "all as on the host")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
