"""A small random Qwen2 model, and what this machine's engine says with it in each precision.

write FOLDER     make the model (seeded) and keep this machine's answers beside it
compare FOLDER   answer again, on another machine, and compare: the greedy float32 text must be the same
"""

from __future__ import annotations

import asyncio
import json
import math
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from bot.engine import Message, Prompt, Sampling
from bot.engine.config.precision import QUANTIZED
from bot.engine.factory import open_local
from bot.engine.kernels.bindings import choose_kernels
from bot.engine.local import LocalEngine
from bot.engine.weights.prepare import prepare
from config.settings import PRECISIONS

PROMPTS = ("hello hello", "How many pages has the book?", "这本书有多少页？", "Yes or no?")
LABELS = (*" .,:;!?0123456789abcdefghijklmnopqrstuvwxyz", "hello", "no", "yes")
TOKENS = 48
# Scores may be off from float32's by this part of their own spread over the labels. A wrong scale or a
# wrong order of weights is off by as much as the spread.
BOUNDS = {"bf16": 0.05, "int8": 0.05, "int4": 0.4}
# float32 sums in another order differ in the last digits only.
SAME = 1e-3


@dataclass
class Answers:
    """One precision's: the labels' scores and the greedy text, a list each for every prompt."""

    scores: list[list[float]]
    texts: list[str]


def write_model(folder: Path) -> None:
    """Sizes of several blocks."""
    import small_models  # of tests/models, which is on the path where the model is made

    small_models.SIZES.update(vocab_size=320, hidden_size=128, intermediate_size=256)
    small_models.write_directory(folder, initializer_range=0.05)


async def answers(engine: LocalEngine) -> Answers:
    """Score every prompt, all in one pass, and stream them one after another."""
    greedy = Sampling(temperature=0, repetition_penalty=1.0, max_tokens=TOKENS)
    prompts = [Prompt((Message("system", "hello"), Message("user", text)), shared=1) for text in PROMPTS]

    async def write(prompt: Prompt) -> str:
        return "".join([piece async for piece in engine.stream(prompt, greedy)])

    scores = await asyncio.gather(*(engine.score(prompt, LABELS) for prompt in prompts))
    texts = [await write(prompt) for prompt in prompts]
    await engine.close()
    return Answers(scores, texts)


def answers_in(folder: Path, precision: str) -> Answers:
    """With the weights as they are read from the checkpoint, or prepared, whichever is there."""
    return asyncio.run(answers(open_local(folder, precision=precision)))


def off(found: Answers, exact: Answers) -> float:
    """Root mean square of the scores' differences, in standard deviations of the exact scores."""
    pairs = [
        (a - b, b - sum(row) / len(row))
        for other, row in zip(found.scores, exact.scores, strict=True)
        for a, b in zip(other, row, strict=True)
    ]
    return math.sqrt(sum(d * d for d, _ in pairs) / sum(s * s for _, s in pairs))


def show(precision: str, found: Answers) -> None:
    """The first prompt's first scores, and every text."""
    kernels = choose_kernels().name.decode() if precision in QUANTIZED else "torch"
    print(f"  kernels {kernels}")
    print("  scores  " + " ".join(f"{value:.4f}" for value in found.scores[0][:8]) + " ...")
    for text in found.texts:
        print(f"  text    {text!r}")


def write(folder: Path) -> None:
    """Make the model and keep this machine's answers."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_model(folder)
    found = {precision: answers_in(folder, precision) for precision in PRECISIONS}
    for precision, one in found.items():
        print(f"{precision}, off by {off(one, found['fp32']):.4f}")
        show(precision, one)
    kept = {precision: asdict(one) for precision, one in found.items()}
    (folder / "answers.json").write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")


def compare(folder: Path) -> list[str]:
    """What is not as it should be."""
    kept = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    host = Answers(**kept["fp32"])
    wrong: list[str] = []
    for precision in PRECISIONS:
        for stale in folder.glob("prepared-*"):
            stale.unlink()
        found = answers_in(folder, precision)
        distance = off(found, host)
        print(f"{precision}, off by {distance:.4f} from the host's float32", flush=True)
        show(precision, found)
        if precision == "fp32":
            if found.texts != host.texts:
                wrong.append(f"fp32: the text is not the host's {host.texts}")
            if distance > SAME:
                wrong.append("fp32: the scores are not the host's")
        elif distance > BOUNDS[precision]:
            wrong.append(f"{precision}: the scores are far from float32's")
        if precision in ("int8", "int4"):
            prepare(folder, precision)
            if answers_in(folder, precision) != found:
                wrong.append(f"{precision}: prepared weights answer otherwise")
            else:
                print("  prepared weights answer the same")
    return wrong


def main() -> int:
    command, folder = sys.argv[1], Path(sys.argv[2])
    print(f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}")
    if command == "write":
        write(folder)
        return 0
    wrong = compare(folder)
    print("\n".join(f"WRONG {each}" for each in wrong) or "all as on the host")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
