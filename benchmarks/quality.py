"""What each precision costs in quality: perplexity, and how often its first choice is float32's.

    python benchmarks/quality.py                 # the starter, over tests/data/quality.txt
    python benchmarks/quality.py FILE --model-dir DIR --precisions int8 int4
    python benchmarks/quality.py --off-grid      # the same model with weights that no quantized file has

The text is read twice: in one pass, as a prompt is, and token by token, as an answer is written. A
precision may multiply otherwise in the two.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402  the paths come first
from hub_directory import write_hub_directory  # noqa: E402  the paths come first
from off_grid import off_grid  # noqa: E402  the paths come first
from tqdm import tqdm  # noqa: E402  the paths come first

from bot.engine.config.arrays import Floats  # noqa: E402  the paths come first
from bot.engine.config.precision import GGUF  # noqa: E402  the paths come first
from bot.engine.factory import open_decoder, open_tokenizer  # noqa: E402  the paths come first
from bot.engine.model.decoder import Chunk, Decoder  # noqa: E402  the paths come first
from bot.engine.weights.model_files import ModelFiles  # noqa: E402  the paths come first
from config.settings import PRECISIONS  # noqa: E402  the paths come first

TEXT = ROOT / "tests" / "data" / "quality.txt"
_HEAD_ROWS = 64  # rows of the whole vocabulary at once: 64 of Qwen's are 40 MB


@dataclass(frozen=True)
class Predictions:
    """What a model made of a text's tokens but the first: each one's log-probability, and the likeliest."""

    logprobs: torch.Tensor
    best: torch.Tensor

    @property
    def perplexity(self) -> float:
        """e to the mean of the negative log-probabilities."""
        return math.exp(-float(self.logprobs.mean()))

    def agreement(self, other: Predictions) -> float:
        """The share of tokens for which both would have chosen the same."""
        return float((self.best == other.best).double().mean())


def predict(
    decoder: Decoder,
    ids: Sequence[int],
    rows: int = 0,
    show: bool = False,
    kept: Callable[[Floats], Floats] | None = None,
) -> Predictions:
    """Read `ids` with `rows` tokens a pass (0: all in one). kept: what its keys and values become."""
    cache, logprobs, best = decoder.new_cache(), [], []
    rows = rows or len(ids)
    for at in tqdm(range(0, len(ids) - 1, rows), unit=" passes", disable=not show, leave=False):
        some = list(ids[at : min(at + rows, len(ids) - 1)])
        hidden = torch.from_numpy(decoder.forward([Chunk(some, cache)]))
        for segment in cache.segments(at, at + len(some)) if kept is not None else ():
            segment.states[:] = kept(segment.states)
        for part, wanted in zip(
            hidden.split(_HEAD_ROWS),
            torch.tensor(ids[at + 1 : at + 1 + len(some)]).split(_HEAD_ROWS),
            strict=True,
        ):
            logits = torch.from_numpy(decoder.logits(part.numpy()))
            logprobs.append(logits.double().log_softmax(1).gather(1, wanted[:, None]).squeeze(1))
            best.append(logits.argmax(1))
    return Predictions(torch.cat(logprobs), torch.cat(best))


def main() -> int:
    """Print a line for each precision."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", nargs="?", type=Path, default=TEXT, help="a text file")
    parser.add_argument("--model-dir", type=Path, default=ROOT / "models" / "starter")
    parser.add_argument("--precisions", nargs="+", choices=(*PRECISIONS, GGUF), help="all by default")
    parser.add_argument("--off-grid", action="store_true", help="as a checkpoint in floats: see off_grid.py")
    parser.add_argument("--fast", action="store_true", help="do not read token by token as well")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        if options.off_grid:
            options.model_dir = write_hub_directory(options.model_dir, Path(folder), off_grid)
        compare(options)
    return 0


def compare(options: argparse.Namespace) -> None:
    """Print a line for each precision of the model at `options.model_dir`."""
    model = ModelFiles(options.model_dir)
    precisions = options.precisions or (
        *PRECISIONS,
        *([GGUF] if model.choose_precision("auto") == GGUF else []),
    )
    ids = open_tokenizer(model).encode_text(options.text.read_text(encoding="utf-8"))
    exact = predict(open_decoder(options.model_dir, "fp32"), ids)
    name = "the same off its grid" if options.off_grid else options.model_dir.name
    print(f"{name}, {options.text.name}: {len(ids)} tokens")
    print(f"{'precision':10} {'read':15} {'perplexity':>10} {'to fp32':>8} {'same choice':>12}")
    for precision in precisions:
        decoder = open_decoder(options.model_dir, precision)
        for name, rows in (("in one pass", 0), ("token by token", 1))[: 1 if options.fast else 2]:
            found = predict(decoder, ids, rows, show=sys.stderr.isatty())
            cost, same = found.perplexity / exact.perplexity - 1, found.agreement(exact)
            shown = decoder.precision  # float32 where the kernels are missing
            print(f"{shown:10} {name:15} {found.perplexity:10.3f} {cost:+8.2%} {same:12.2%}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
