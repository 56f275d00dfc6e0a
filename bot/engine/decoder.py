"""One decoder for the Qwen2, Qwen3 and Llama families: token ids and caches in, hidden states out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from bot.engine.kv_cache import KVCache
from bot.engine.linear import DenseLinear, Linear
from bot.engine.shape import Shape, read_shape
from bot.engine.weights import Checkpoint


@dataclass
class Chunk:
    """Some next tokens of one sequence. `cache` holds the tokens before them; `forward` appends to it.

    depths, visible: for continuations that branch (a TokenTree): each token's place after the cache,
        and which of the chunk's own tokens it sees, bool [n, n]. The caller truncates the cache then.
    """

    tokens: list[int]
    cache: KVCache
    depths: list[int] | None = None
    visible: torch.Tensor | None = None


@dataclass
class Layer:
    """One block's weights. `qkv` and `gate_up` are fused along their outputs."""

    attention_norm: torch.Tensor
    qkv: Linear
    query_norm: torch.Tensor | None
    key_norm: torch.Tensor | None
    out: Linear
    mlp_norm: torch.Tensor
    gate_up: Linear
    down: Linear


class Decoder:
    """The model's layers over caches. Not safe for use from several threads at once."""

    def __init__(
        self,
        shape: Shape,
        precision: str,
        embedding: torch.Tensor,
        layers: list[Layer],
        norm: torch.Tensor,
        head: torch.Tensor,
    ) -> None:
        self.shape, self.precision = shape, precision
        self._embedding, self._layers, self._norm, self._head = embedding, layers, norm, head
        self._rotations = torch.empty(0, shape.head_dim // 2, dtype=torch.complex64)

    def new_cache(self, room: int = 0) -> KVCache:
        """An empty cache with room for `room` tokens."""
        return KVCache(self.shape, room=room)

    @torch.inference_mode()
    def forward(self, chunks: Sequence[Chunk], exact: bool = True, last_only: bool = False) -> torch.Tensor:
        """float32 hidden states after the final norm, [tokens of all chunks, hidden], in the order given.

        exact: False allows coarser activations, for callers that only compare labels.
        last_only: only the last token of each chunk has a row, [chunks, hidden].
        """
        lengths = [len(chunk.tokens) for chunk in chunks]
        starts = [len(chunk.cache) for chunk in chunks]
        for chunk, start, length in zip(chunks, starts, lengths, strict=True):
            chunk.cache.reserve(start + length)
        positions = torch.cat([_positions(chunk, start) for chunk, start in zip(chunks, starts, strict=True)])
        rotations = self._rotation(max(s + n for s, n in zip(starts, lengths, strict=True)))[positions]
        x = self._embedding[torch.tensor([t for chunk in chunks for t in chunk.tokens])].float()
        for number, layer in enumerate(self._layers):
            qkv = layer.qkv(self._normalise(x, layer.attention_norm), exact)
            mixed = self._attend(number, layer, qkv, rotations, chunks, starts)
            x = x + layer.out(mixed, exact)
            gate, up = layer.gate_up(self._normalise(x, layer.mlp_norm), exact).chunk(2, -1)
            x = x + layer.down(F.silu(gate) * up, exact)
        for chunk in chunks:
            chunk.cache.tokens.extend(chunk.tokens)
        if last_only:
            x = x[torch.tensor(lengths).cumsum(0) - 1]
        return self._normalise(x, self._norm)

    @torch.inference_mode()
    def logits(self, hidden: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
        """float32 [n, vocabulary], or [n, len(rows)] for the given rows of the head alone."""
        head = self._head if rows is None else self._head[rows]
        return F.linear(hidden, head.float())

    def _attend(
        self,
        number: int,
        layer: Layer,
        qkv: torch.Tensor,
        rotations: torch.Tensor,
        chunks: Sequence[Chunk],
        starts: list[int],
    ) -> torch.Tensor:
        shape = self.shape
        heads, kv_heads, width = shape.heads, shape.kv_heads, shape.head_dim
        rows = len(qkv)
        states = qkv.view(rows, heads + 2 * kv_heads, width)
        if layer.query_norm is not None and layer.key_norm is not None:
            states[:, :heads] = self._normalise(states[:, :heads], layer.query_norm)
            states[:, heads : heads + kv_heads] = self._normalise(
                states[:, heads : heads + kv_heads], layer.key_norm
            )
        turned = states[:, : heads + kv_heads].view(rows, heads + kv_heads, width // 2, 2)
        torch.view_as_complex(turned).mul_(rotations[:, None])
        mixed = torch.empty(rows, heads, width)
        at = 0
        for chunk, start in zip(chunks, starts, strict=True):
            n = len(chunk.tokens)
            cached = chunk.cache.states[number]
            cached[:, start : start + n] = states[at : at + n, heads:].transpose(0, 1)
            mask = None
            if chunk.visible is not None:
                mask = torch.cat((torch.ones(n, start, dtype=torch.bool), chunk.visible), 1)
            elif n > 1:
                mask = torch.arange(start + n) <= torch.arange(start, start + n)[:, None]
            found = F.scaled_dot_product_attention(
                states[at : at + n, :heads].transpose(0, 1)[None],
                cached[None, :kv_heads, : start + n],
                cached[None, kv_heads:, : start + n],
                attn_mask=mask,
                enable_gqa=True,
            )
            mixed[at : at + n] = found[0].transpose(0, 1)
            at += n
        return mixed.view(rows, heads * width)

    def _normalise(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, weight.shape, weight, self.shape.epsilon)

    def _rotation(self, length: int) -> torch.Tensor:
        """e^(i position frequency) for the first `length` positions (Su et al., RoFormer, 2021)."""
        if length > len(self._rotations):
            frequencies = torch.tensor(self.shape.inverse_frequencies)
            angles = torch.outer(torch.arange(2 * length).float(), frequencies)
            self._rotations = torch.polar(torch.ones_like(angles), angles)
        return self._rotations


def _positions(chunk: Chunk, start: int) -> torch.Tensor:
    if chunk.depths is None:
        return torch.arange(start, start + len(chunk.tokens))
    return torch.tensor(chunk.depths) + start


def open_decoder(directory: Path, precision: str, threads: int = 0) -> Decoder:
    """The decoder of a model directory. `threads` 0 takes one a core. Blocking: it reads the weights."""
    if threads:
        torch.set_num_threads(threads)
    shape = read_shape(directory)
    checkpoint = Checkpoint(directory)
    embedding = checkpoint.get("model.embed_tokens.weight").float()
    head = embedding if shape.tied else checkpoint.get("lm_head.weight").float()
    layers = [_read_layer(checkpoint, shape, number) for number in range(shape.layers)]
    norm = checkpoint.get("model.norm.weight").float()
    return Decoder(shape, "fp32", embedding, layers, norm, head)


def _read_layer(checkpoint: Checkpoint, shape: Shape, number: int) -> Layer:
    at = f"model.layers.{number}."

    def linear(names: list[str]) -> Linear:
        weights, biases = [], []
        for name in names:
            weight = checkpoint.get(f"{at}{name}.weight").float()
            bias = f"{at}{name}.bias"
            found = checkpoint.get(bias).float() if bias in checkpoint else torch.zeros(len(weight))
            if name.endswith(("q_proj", "k_proj")):
                weight, found = _interleave(weight, shape.head_dim), _interleave(found, shape.head_dim)
            weights.append(weight)
            biases.append(found)
        bias_ = torch.cat(biases)
        return DenseLinear(torch.cat(weights), bias_ if bias_.any() else None)

    def norm(name: str) -> torch.Tensor | None:
        key = f"{at}self_attn.{name}.weight"
        return _interleave(checkpoint.get(key).float(), shape.head_dim) if key in checkpoint else None

    return Layer(
        attention_norm=checkpoint.get(f"{at}input_layernorm.weight").float(),
        qkv=linear(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
        query_norm=norm("q_norm"),
        key_norm=norm("k_norm"),
        out=linear(["self_attn.o_proj"]),
        mlp_norm=checkpoint.get(f"{at}post_attention_layernorm.weight").float(),
        gate_up=linear(["mlp.gate_proj", "mlp.up_proj"]),
        down=linear(["mlp.down_proj"]),
    )


def _interleave(rows: torch.Tensor, head_dim: int) -> torch.Tensor:
    """Rows (i, i + half) of each head side by side, so that a rotation is one complex product."""
    halves = rows.view(-1, 2, head_dim // 2, *rows.shape[1:])
    return halves.transpose(1, 2).reshape(rows.shape)
