"""What a ChatTokenizer is made of, read from a directory: the tokenizer, its names, the chat template."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from bot.engine.errors import EngineError

# Used where a model brings no template of its own (the ChatML of the Qwen family).
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NAMES = ("bos_token", "eos_token", "pad_token", "unk_token")
MEND = "put the model's own file there, or run `python -m bot fetch`"


@dataclass(frozen=True)
class TokenizerFiles:
    """The parts of one model's tokenizer.

    file: what errors name. names: the texts of NAMES, "" where the model has none. template: in Jinja.
    ends: further tokens that end a turn. add_bos: whether a prompt begins with bos_token where the
    template does not write it.
    """

    file: Path
    tokenizer: Tokenizer
    names: Mapping[str, str]
    template: str = CHATML
    ends: tuple[str, ...] = ()
    add_bos: bool = False


def read_tokenizer_files(directory: Path) -> TokenizerFiles:
    """Those of a directory as the hub has them. Raises EngineError naming the file."""
    file = directory / "tokenizer.json"
    if not file.is_file():
        raise EngineError(f"{file} is missing: {MEND}")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as problem:  # the library has no type of its own for it
        said = " ".join(str(problem).split())
        raise EngineError(f"{file} is damaged ({said}): {MEND}") from None
    settings = _read_json(directory / "tokenizer_config.json")
    names = {key: _token_text(settings.get(key)) for key in NAMES}
    return TokenizerFiles(file, tokenizer, names, _find_template(directory, settings))


def _find_template(directory: Path, settings: dict[str, Any]) -> str:
    file = directory / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):  # several named ones
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    return template if isinstance(template, str) else CHATML


def _token_text(value: object) -> str:
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else ""


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    found = json.loads(file.read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}
