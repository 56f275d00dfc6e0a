"""Prompts to token ids through the model's own chat template, and token ids back to text.

Text from people and from the model is always encoded as text: a typed `<|im_start|>` becomes the
characters it is made of, never the control token, and so does a typed `<tool_call>`, whatever
tokenizer.json says of it. The template's own control tokens are the only ones in a prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

from tokenizers import AddedToken

from bot.engine.config.arrays import common_prefix
from bot.engine.errors import EngineError
from bot.engine.interface import Message, Prompt, Speaker
from bot.engine.text.bounded_template import ChatTemplate
from bot.engine.text.thoughts import OPENED
from bot.engine.text.tokenizer_files import MEND, TokenizerFiles, read_tokenizer_files

# Characters: instructions, examples and turns recur and are cached; longer texts are not, and other threads
# may run while they are tokenized.
_CACHED = 4000
# Private-use characters stand for contents while the template runs, so that what it writes and
# what a person wrote can be told apart afterwards.
_PLACEHOLDER = re.compile("\ue000(\\d+)\ue001")


class ChatTokenizer:
    """The tokenizer and chat template of one model. Safe to share between threads."""

    def __init__(self, source: Path | TokenizerFiles, vocab_size: int | None = None) -> None:
        """source: a directory as the hub has them, or what was read of another model. vocab_size: that of the
        model. Raises EngineError for a tokenizer that does not belong to it."""
        files = read_tokenizer_files(source) if isinstance(source, Path) else source
        if vocab_size is not None:
            _check_size(files, vocab_size)
        self._tokenizer = files.tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        # Control tokens are looked up by name; what is encoded is always text.
        self._tokenizer.encode_special_tokens = True
        self._names, self._ends = files.names, files.ends
        added = self._tokenizer.get_added_tokens_decoder()
        self._added = {token.content: number for number, token in added.items()}
        # Those that an answer does not show, as the file says.
        self._hidden = frozenset(number for number, token in added.items() if token.special)
        # Only special tokens are not looked for in text: a `<think>` that the file calls none becomes one.
        self._tokenizer.add_special_tokens(
            [AddedToken(text, special=True, normalized=False) for text in self._added]
        )
        pattern = "|".join(re.escape(text) for text in sorted(self._added, key=len, reverse=True))
        self._controls = re.compile(f"({pattern})") if pattern else None
        self._shared = lru_cache(maxsize=64)(self._encode_shared)
        self._pieces = lru_cache(maxsize=512)(self._encode_piece)
        self._bos = self._added.get(files.names["bos_token"]) if files.add_bos else None
        self._template = ChatTemplate(files.template)

    def encode(self, prompt: Prompt) -> list[int]:
        """Token ids of the whole prompt, ending where the assistant's answer goes on."""
        return self._encode(prompt.messages, answer=True, opening=prompt.opening)

    def encode_shared(self, prompt: Prompt) -> list[int]:
        """Token ids with which `encode` begins whatever follows the prompt's shared messages.

        It is what two made-up continuations have in common, so that what the template writes before
        the next message counts too, and nothing of any real message does.
        """
        shared = prompt.messages[: prompt.shared]
        if not shared or len(shared) == len(prompt.messages):
            return []
        return self._shared(shared, prompt.messages[prompt.shared].speaker)

    def encode_text(self, text: str) -> list[int]:
        """Token ids of plain text; control tokens in it are only characters."""
        return list(self._pieces(text) if len(text) <= _CACHED else self._encode_long(text))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`, those left out that the tokenizer's file calls special.

        An unfinished character shows as U+FFFD.
        """
        shown = [number for number in ids if number not in self._hidden]
        return str(self._tokenizer.decode(shown, skip_special_tokens=False))

    @property
    def eos_token_ids(self) -> set[int]:
        """Ids that end a turn, as far as the tokenizer's own settings name them."""
        names = [self._names["eos_token"], *self._ends, "<|im_end|>", "<|endoftext|>", "<|eot_id|>"]
        return {self._added[name] for name in names if name in self._added}

    @cached_property
    def opened_thought(self) -> str:
        """The tag of the thought that the template has begun where the answer goes on; "" for none."""
        try:
            opened = OPENED.search(self._render([{"role": "user", "content": "a"}], answer=True))
        except EngineError:  # it wants other messages: those are told when they are encoded
            return ""
        return opened[1] if opened else ""

    def _encode_piece(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _encode_long(self, text: str) -> list[int]:
        # `encode` holds Python's lock, for seconds where the text is a megabyte; a batch gives it up.
        return list(self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids)

    def _encode_shared(self, shared: tuple[Message, ...], speaker: Speaker) -> list[int]:
        ways = [self._encode((*shared, Message(speaker, text)), answer=True) for text in ("a", "1")]
        return ways[0][: common_prefix(*ways)]

    def _encode(self, messages: Sequence[Message], answer: bool, opening: str = "") -> list[int]:
        placeholders = [
            {"role": message.speaker, "content": f"\ue000{number}\ue001"}
            for number, message in enumerate(messages)
        ]
        text = self._render(placeholders, answer)
        contents = [message.content for message in messages]
        # A control token is looked for only in what the template wrote; the text between two of
        # them is encoded in one go, so that pieces merge exactly as they did in training.
        ids: list[int] = []
        pending = ""
        for piece, number in _split(text, len(contents)):
            if number is not None:
                pending += contents[number]
                continue
            for part in self._controls.split(piece) if self._controls else [piece]:
                if part in self._added:
                    ids += self.encode_text(pending) if pending else []
                    ids.append(self._added[part])
                    pending = ""
                else:
                    pending += part
        pending += opening
        ids += self.encode_text(pending) if pending else []
        return ids if self._bos is None or ids[:1] == [self._bos] else [self._bos, *ids]

    def _render(self, messages: Sequence[Mapping[str, str]], answer: bool) -> str:
        return self._template.render(
            messages, add_generation_prompt=answer, enable_thinking=False, **self._names
        )


def _check_size(files: TokenizerFiles, vocab_size: int) -> None:
    added = files.tokenizer.get_added_tokens_decoder()
    last = max([files.tokenizer.get_vocab_size(with_added_tokens=False) - 1, *added])
    if last >= vocab_size:
        raise EngineError(f"{files.file} has tokens up to {last}, the model only {vocab_size}: {MEND}")


def _split(text: str, count: int) -> list[tuple[str, int | None]]:
    """Pieces of a rendered template: (its own text, None) or ("", number of a content)."""
    pieces: list[tuple[str, int | None]] = []
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        pieces.append((text[end : match.start()], None))
        if int(match[1]) < count:
            pieces.append(("", int(match[1])))
        end = match.end()
    return [*pieces, (text[end:], None)]
