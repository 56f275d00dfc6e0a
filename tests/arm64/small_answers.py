"""A small random Qwen2 model, and what this machine's engine says with it in each precision.

write FOLDER     make the model (seeded) and keep this machine's answers beside it
compare FOLDER   answer again, on another machine: the same texts and scores, from the same prepared weights

Where torch does not start (ARMv8.0), int8 and int4 are compared; the others must be refused by a sentence.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from bot.engine import EngineError, Message, Prompt, Sampling
from bot.engine.config.precision import COMPILED
from bot.engine.config.processor import flags
from bot.engine.config.torch_needs import torch_starts
from bot.engine.factory import open_local
from bot.engine.kernels.bindings import choose_kernels
from bot.engine.local import LocalEngine
from bot.engine.quantization.prepare import prepare
from config.settings import PRECISIONS

PROMPTS = ("hello hello", "How many pages has the book?", "这本书有多少页？", "Yes or no?")
LABELS = (*" .,:;!?0123456789abcdefghijklmnopqrstuvwxyz", "hello", "no", "yes")
TOKENS = 48
# Scores may be off by this part of their own spread over the labels. Floats added in another order differ in
# the last digits, and an activation may then be rounded to the next code; a wrong scale or a wrong order of
# weights is off by as much as the spread.
BOUNDS = {"fp32": 1e-3, "bf16": 0.05, "int8": 5e-3, "int4": 5e-3}
# What each processor must choose, the best first, by the name that Linux gives its instructions.
KERNELS = {"i8mm": "neon-i8mm", "asimddp": "neon-dotprod", "asimd": "plain"}


@dataclass
class Answers:
    """One precision's: the labels' scores and the greedy text, a list each for every prompt."""

    scores: list[list[float]]
    texts: list[str]
    prepared: str = ""  # the sum of the prepared weights, where there are any


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
    """With the weights as they are read from the checkpoint, then prepared, which must answer the same."""
    for stale in folder.glob("prepared-*"):
        stale.unlink()
    found = asyncio.run(answers(open_local(folder, precision=precision)))
    if precision in COMPILED:
        file = prepare(folder, precision)
        assert asyncio.run(answers(open_local(folder, precision=precision))) == found
        found.prepared = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def off(found: Answers, exact: Answers) -> float:
    """Root mean square of the scores' differences, in standard deviations of the exact scores."""
    pairs = [
        (a - b, b - sum(row) / len(row))
        for other, row in zip(found.scores, exact.scores, strict=True)
        for a, b in zip(other, row, strict=True)
    ]
    return math.sqrt(sum(d * d for d, _ in pairs) / sum(s * s for _, s in pairs))


def show(found: Answers) -> None:
    """The first prompt's first scores, and every text."""
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
        print(f"{precision}, off by {off(one, found['fp32']):.4f} from float32")
        show(one)
    kept = {precision: asdict(one) for precision, one in found.items()}
    (folder / "answers.json").write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")


def compare(folder: Path) -> list[str]:
    """What is not as it should be."""
    kept = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    wrong: list[str] = []
    if choose_kernels().name.decode() != (best := next(KERNELS[flag] for flag in KERNELS if flag in flags())):
        wrong.append(f"kernels: {best} are the best for this processor")
    for precision in PRECISIONS:
        if precision not in COMPILED and not torch_starts():
            try:
                open_local(folder, precision=precision)
                wrong.append(f"{precision}: it is not refused, and torch does not start here")
            except EngineError as refused:
                print(f"{precision}, refused: {refused}")
            continue
        found, host = answers_in(folder, precision), Answers(**kept[precision])
        distance, same = off(found, host), found.texts == host.texts
        print(f"{precision}, off by {distance:.7f} from the host's, texts {'the same' if same else 'others'}")
        show(found)
        if distance > BOUNDS[precision]:
            wrong.append(f"{precision}: the scores are not the host's")
        if not same and precision != "bf16":
            wrong.append(f"{precision}: the texts are not the host's {host.texts}")
        if found.prepared != host.prepared:
            wrong.append(f"{precision}: the prepared weights are not the host's")
    return wrong


def main() -> int:
    command, folder = sys.argv[1], Path(sys.argv[2])
    torch = metadata.version("torch") + ("" if torch_starts() else ", which does not start")
    print(f"{platform.machine()}, Python {platform.python_version()}, torch {torch}")
    print(f"kernels {choose_kernels().name.decode()}", flush=True)
    if command == "write":
        write(folder)
        return 0
    wrong = compare(folder)
    print("\n".join(f"WRONG {each}" for each in wrong) or "all as on the host")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
