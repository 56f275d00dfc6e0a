"""What keys and values in fewer bytes would cost: `python benchmarks/cache_quality.py`.

The text is read token by token, as an answer is written, and each token's keys and values are rounded before
the next one sees them. The model's own precision multiplies.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402  the paths come first
from quality import TEXT, predict  # noqa: E402  the paths come first

from bot.engine.config.arrays import Floats  # noqa: E402  the paths come first
from bot.engine.factory import open_decoder, open_tokenizer  # noqa: E402  the paths come first
from bot.engine.weights.model_files import ModelFiles  # noqa: E402  the paths come first

CONTEXT, THREADS = 4096, 4


def in_8_bits(numbers: Floats, group: int) -> Floats:
    """Rounded to codes of -127 to 127, a scale for each `group` numbers of a head."""
    groups = numbers.reshape(*numbers.shape[:-1], -1, group)
    scales = np.abs(groups).max(-1, keepdims=True) / 127
    scales = np.where(scales == 0, 1, scales)
    rounded: Floats = (np.rint(groups / scales) * scales).astype(np.float32).reshape(numbers.shape)
    return rounded


def half(numbers: Floats) -> Floats:
    """Rounded to float16."""
    return numbers.astype(np.float16).astype(np.float32)


def of_part(part: slice, change: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    """Change keys alone or values alone, [layers, heads of keys and values, tokens, head_dim]."""

    def changed(states: Floats) -> Floats:
        found = states.copy()
        found[:, part] = change(states[:, part])
        return found

    return changed


def main() -> int:
    """A line for each way to keep them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model-dir", type=Path, default=ROOT / "models" / "starter")
    options = parser.parse_args()
    decoder = open_decoder(options.model_dir, "auto")
    config, kv_heads = decoder.config, decoder.config.num_kv_heads
    ids = open_tokenizer(ModelFiles(options.model_dir)).encode_text(TEXT.read_text(encoding="utf-8"))
    exact = predict(decoder, ids, 1)
    keys, values = slice(0, kv_heads), slice(kv_heads, 2 * kv_heads)
    numbers = config.num_layers * 2 * kv_heads * config.head_dim  # of a token

    def whole(states: Floats) -> Floats:
        return in_8_bits(states, config.head_dim)

    ways: dict[str, tuple[float, Callable[[Floats], Floats]]] = {
        "float16": (2, half),
        "8 bits, a scale a head": (1 + 4 / config.head_dim, whole),
        "8 bits, a scale for 32": (1 + 4 / 32, lambda states: in_8_bits(states, 32)),
        "only the keys in 8 bits": ((5 + 4 / config.head_dim) / 2, of_part(keys, whole)),
        "only the values in 8 bits": ((5 + 4 / config.head_dim) / 2, of_part(values, whole)),
    }
    print(
        f"{options.model_dir.name}, {decoder.precision}: {len(ids)} tokens; in float32 "
        f"{THREADS} threads of {CONTEXT} tokens take {THREADS * CONTEXT * numbers * 4 / 1e6:,.0f} MB"
    )
    print(f"{'keys and values':28} {'MB':>6} {'perplexity':>10} {'same choice':>12}")
    for name, (size, change) in ways.items():
        found = predict(decoder, ids, 1, kept=change)
        cost, same = found.perplexity / exact.perplexity - 1, found.agreement(exact)
        print(
            f"{name:28} {THREADS * CONTEXT * numbers * size / 1e6:6,.0f} {cost:+10.2%} {same:12.2%}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
