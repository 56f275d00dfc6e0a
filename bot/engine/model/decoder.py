"""What a decoder is: token ids and KV caches in, hidden states out. There are two, which answer the same.

`bot.engine.kernels.decoder` is compiled, for int8 and int4, and needs no torch;
`bot.engine.model.torch_decoder` is for float32 and bfloat16, and what the other is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.engine.cache.kv_cache import KVCache
from bot.engine.config.arrays import Floats, Mask
from bot.engine.config.model_config import ModelConfig


@dataclass
class Chunk:
    """The next tokens of one sequence: many of a prefill, one of a decode step.

    cache: keys and values of the tokens before them; `forward` appends to it.
    depths, mask: for continuations that branch (a TokenTree): each token's position after the cache,
        and which of the chunk's own tokens it attends to, [n, n]. The caller truncates the cache then.
    """

    tokens: list[int]
    cache: KVCache
    depths: list[int] | None = None
    mask: Mask | None = None

    @property
    def positions(self) -> range | list[int]:
        """Each token's position in its sequence."""
        start = len(self.cache)
        if self.depths is None:
            return range(start, start + len(self.tokens))
        return [start + depth for depth in self.depths]


class Decoder(Protocol):
    """The model's layers over KV caches. Not safe for use from several threads at once."""

    config: ModelConfig
    precision: str
    threads: int

    def enter_thread(self) -> None:
        """Called by a thread that is going to use the decoder, before it does."""
        ...

    def new_cache(self, room: int = 0) -> KVCache:
        """An empty cache with room for `room` tokens."""
        ...

    def forward(
        self,
        chunks: Sequence[Chunk],
        last_only: bool = False,
        rows: Sequence[int] | None = None,
    ) -> Floats:
        """Hidden states after the final norm, [tokens of all chunks, hidden_size], in the order given.

        last_only: only the last token of each chunk has a row, [chunks, hidden_size].
        rows: only these rows, in their order; the last layer's work for the others is spared.
        """
        ...

    def logits(self, hidden: Floats, rows: Sequence[int] | None = None) -> Floats:
        """[n, vocab_size], or [n, len(rows)] for the given rows of the LM head alone."""
        ...
