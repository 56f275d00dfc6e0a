"""The tokenizer inside a GGUF file: byte pairs as of Qwen2 and Llama 3, or SentencePiece as of Llama 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

from bot.engine.errors import EngineError
from bot.engine.text.tokenizer_files import CHATML, TokenizerFiles

# How text is cut into words before bytes are merged (the published tokenizer.json of each). They differ in
# how many digits make a word.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}"
    r"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN, _LLAMA = "qwen2", "llama-bpe"
PRE_TOKENIZERS = (_QWEN, _LLAMA)
# Token types of the GGUF specification; the last fills up the table.
NORMAL, _UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 1, 2, 3, 4, 5
_ADDED = (CONTROL, USER_DEFINED)  # no merge makes them
_LONGEST = 256  # characters of a piece that merges make: each place to cut it is tried
_SPACE = "\u2581"
_FOREIGN = "use a Qwen2, Qwen3 or Llama model"


def gguf_tokenizer(metadata: Mapping[str, Any], file: Path) -> TokenizerFiles:
    """The tokenizer that the metadata of `file` describe. Raises EngineError naming what is wrong."""
    found = _Vocabulary(metadata, file)
    if found.kind == "gpt2":
        tokenizer = _byte_pairs(found)
    elif found.kind == "llama":
        tokenizer = _sentence_pieces(found)
    else:
        raise EngineError(f"{file} has the unknown tokenizer {found.kind[:40]!r}: {_FOREIGN}")
    for at in found.added:
        if tokenizer.token_to_id(found.tokens[at]) != at:
            raise found.damaged(f"token {at} does not get its number")
    bos = found.token("bos")
    template = metadata.get("tokenizer.chat_template")
    # What llama.cpp assumes where the file is silent.
    add_bos = metadata.get("tokenizer.ggml.add_bos_token", found.kind == "llama" or found.pre == _LLAMA)
    return TokenizerFiles(
        file=file,
        tokenizer=tokenizer,
        names={
            "bos_token": bos,
            "eos_token": found.token("eos"),
            "pad_token": found.token("padding"),
            "unk_token": found.token("unknown"),
        },
        template=template if isinstance(template, str) else CHATML,
        ends=tuple(filter(None, (found.token("eot"), found.token("eom")))),
        add_bos=add_bos is True and bool(bos),
    )


def words_pattern(pre: str) -> str:
    """The regular expression that cuts words in one of PRE_TOKENIZERS."""
    return _WORDS.format(digits="" if pre == _QWEN else "{1,3}")


class _Vocabulary:
    """Token texts and types by id, checked."""

    def __init__(self, metadata: Mapping[str, Any], file: Path) -> None:
        self._metadata, self.file = metadata, file
        self.kind, self.pre = str(self._get("model")), str(self._get("pre", ""))
        self.tokens: list[str] = self._texts("tokens")
        self.types = [int(each) for each in self._numbers("token_type")]
        # Ids of the tokens that no merge makes.
        self.added = [at for at, kind in enumerate(self.types) if kind in _ADDED]

    def merges(self) -> list[tuple[str, str]]:
        """Pairs in the order in which they are merged."""
        cut = (merge.partition(" ") for merge in self._texts("merges"))
        return [(left, right) for left, _, right in cut]

    def scores(self) -> list[float]:
        """Of each token: the higher, the earlier it is merged."""
        return [float(each) for each in self._numbers("scores")]

    def ids(self, without: Sequence[int]) -> dict[str, int]:
        """The ids of tokens by text, but for types of `without`."""
        chosen = [at for at, kind in enumerate(self.types) if kind not in without]
        found = {self.tokens[at]: at for at in chosen}
        if len(found) != len(chosen):
            raise self.damaged("a token comes twice")
        return found

    def token(self, name: str) -> str:
        """The text of the token with that part: "eos", "bos"; "" where there is none."""
        at = self._get(f"{name}_token_id", -1)
        if type(at) is not int or at >= len(self.tokens):
            raise self.damaged(f"the {name} token is none of its tokens")
        return self.tokens[at] if at >= 0 else ""

    def prefixes_space(self) -> bool:
        """Whether a text is read as if a space stood in front of it."""
        return self._get("add_space_prefix", True) is True

    def added_tokens(self) -> list[AddedToken]:
        """Those that no merge makes, in the order of their ids."""
        return [
            AddedToken(self.tokens[at], special=self.types[at] == CONTROL, normalized=False)
            for at in self.added
        ]

    def damaged(self, why: str) -> EngineError:
        """The error for a tokenizer that cannot be one."""
        return EngineError(f"{self.file} has a damaged tokenizer ({why}): fetch it again")

    def _get(self, key: str, default: Any = None) -> Any:
        found = self._metadata.get(f"tokenizer.ggml.{key}", default)
        if found is None:
            raise EngineError(f"{self.file} lacks tokenizer.ggml.{key}: fetch it again")
        return found

    def _texts(self, key: str) -> list[str]:
        found = self._get(key)
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise self.damaged(f"{key} are no texts")
        return found

    def _numbers(self, key: str) -> Any:
        found = self._get(key)
        if getattr(found, "dtype", None) is None or len(found) != len(self.tokens):
            raise self.damaged(f"{key} are not one number for each token")
        return found


def _byte_pairs(found: _Vocabulary) -> Tokenizer:
    """GPT-2's kind: bytes as visible characters, merged by a list."""
    if found.pre not in PRE_TOKENIZERS:
        raise EngineError(f"{found.file} cuts words in the unknown way {found.pre[:40]!r}: {_FOREIGN}")
    qwen = found.pre == _QWEN
    vocabulary = found.ids(without=(*_ADDED, UNUSED))
    tokenizer = _made(found, {"vocab": vocabulary, "merges": found.merges(), "ignore_merges": not qwen})
    if qwen:
        tokenizer.normalizer = normalizers.NFC()
    words = Regex(words_pattern(found.pre))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(found.added_tokens())  # these get the ids after the normal ones
    return tokenizer


def _sentence_pieces(found: _Vocabulary) -> Tokenizer:
    """SentencePiece's kind: characters merged to the piece of the best score, others as bytes."""
    vocabulary, scores = found.ids(without=(UNUSED,)), found.scores()
    unknown = next((found.tokens[at] for at, kind in enumerate(found.types) if kind == _UNKNOWN), None)
    merges = _merges_by_score(found, vocabulary, scores)
    tokenizer = _made(
        found,
        {
            "vocab": vocabulary,
            "merges": merges,
            "byte_fallback": True,
            "fuse_unk": True,
            "unk_token": unknown,
        },
    )
    spaces: list[normalizers.Normalizer] = [normalizers.Replace(" ", _SPACE)]
    end: list[decoders.Decoder] = []
    if found.prefixes_space():
        spaces.insert(0, normalizers.Prepend(_SPACE))
        end = [decoders.Strip(" ", 1, 0)]
    tokenizer.normalizer = normalizers.Sequence(spaces)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *end]
    )
    tokenizer.add_tokens(found.added_tokens())
    return tokenizer


def _merges_by_score(
    found: _Vocabulary, vocabulary: Mapping[str, int], scores: Sequence[float]
) -> list[tuple[str, str]]:
    """Every pair of pieces that makes a piece, those of the best piece first."""
    pieces = [(token, at) for token, at in vocabulary.items() if found.types[at] == NORMAL and len(token) > 1]
    if any(len(token) > _LONGEST for token, _ in pieces):
        raise found.damaged(f"a piece has more than {_LONGEST} characters")
    merges = []
    for token, _ in sorted(pieces, key=lambda piece: (-scores[piece[1]], piece[1])):
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in vocabulary and right in vocabulary:
                merges.append((left, right))
    return merges


def _made(found: _Vocabulary, parts: dict[str, Any]) -> Tokenizer:
    try:
        return Tokenizer(BPE(**parts))
    except Exception as problem:  # the library has no type of its own for it
        raise found.damaged(" ".join(str(problem).split())[:200]) from None
